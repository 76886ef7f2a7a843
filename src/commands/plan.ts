/** `plan`: reads what `deploy` would read, takes no lock, runs no step, writes nothing, and shows what would be done. */
import { DeployError, messageOf } from '../errors.ts'
import { selectServers } from '../plan/select.ts'
import type { Result } from '../report/events.ts'
import { together } from '../rollout/board.ts'
import { askBalancers } from '../rollout/deployment.ts'
import { openSessions } from '../rollout/open-sessions.ts'
import type { Context } from './context.ts'
import { balancersOf, opening, planOf } from './equipment.ts'
import { fleetOf } from './open-fleet.ts'
import { checkVariables, materialOf, withScratch } from './site.ts'

export async function plan(c: Context): Promise<Result> {
  const { request, manifest, emit, cancel } = c
  const selected = selectServers(manifest.servers, request.servers)
  checkVariables(manifest, request.env, selected)
  return withScratch<Result>(request.temp, async scratch => {
    const material = await materialOf(request, manifest, scratch, emit, cancel)
    const fleet = fleetOf(c)
    try {
      emit({ type: 'phase', phase: 'preflight' })
      const { sessions, failed } = await openSessions({ ...opening(c, material, fleet), servers: selected, lock: null })
      for (const [server, error] of failed) {
        const hint = error instanceof DeployError ? error.hint : undefined
        emit({
          type: 'message',
          level: 'error',
          server,
          text: messageOf(error),
          ...(hint === undefined ? {} : { hint }),
        })
      }
      if (failed.size > 0) throw together(failed, 'preflight')
      const made = await planOf(c, material, sessions)
      const balancers = balancersOf(c, made, new Set(made.servers.flatMap(s => s.balancers)))
      try {
        await askBalancers({ manifest, emit, cancel }, made, balancers)
      } finally {
        for (const balancer of balancers.values()) balancer.close?.()
      }
      c.showPlan(made)
      return 'success'
    } finally {
      fleet.close()
    }
  })
}
