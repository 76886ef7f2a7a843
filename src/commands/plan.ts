/** `plan`: reads what `deploy` would read, takes no lock, runs no step, writes nothing, and shows what would be done. */
import { selectServers } from '../plan/select.ts'
import type { Result } from '../report/events.ts'
import { createBoard, together } from '../rollout/board.ts'
import { askBalancers } from '../rollout/deployment.ts'
import { openSessions } from '../rollout/open-sessions.ts'
import { isUnreachable } from '../rollout/session.ts'
import type { Context } from './context.ts'
import { balancersOf, opening, planOf } from './equipment.ts'
import { fleetOf } from './open-fleet.ts'
import { checkVariables, materialOf, migratorOf, withScratch } from './site.ts'

export async function plan(c: Context): Promise<Result> {
  const { request, manifest, emit, cancel } = c
  const selected = selectServers(manifest.servers, request.servers)
  if (selected.length === 0) {
    emit({ type: 'message', level: 'notice', text: 'Nothing to do: the input servers is [].' })
    return 'success'
  }
  checkVariables(manifest, request.env, selected)
  return withScratch<Result>(request.temp, async scratch => {
    const material = await materialOf(request, manifest, scratch, emit, cancel)
    const fleet = fleetOf(c)
    try {
      emit({ type: 'phase', phase: 'preflight' })
      const opened = await openSessions({
        ...opening(c, material, fleet),
        servers: selected,
        environment: manifest.servers,
        alsoRead: migratorOf(manifest),
        unreachable: manifest.rollout.unreachable,
        lock: null,
      })
      const { failed } = opened
      const board = createBoard(emit)
      for (const [server, error] of [...failed, ...opened.unreachable])
        board.fail(server, error, 'preflight', isUnreachable(error) ? 'unreachable' : 'failed')
      if (failed.size > 0) {
        board.close(selected.map(s => s.name))
        throw together(failed, 'preflight')
      }
      const made = await planOf(c, material, opened)
      // A plan runs no script: balancers that are driven by scripts are asked when it is carried out.
      const scripted = (name: string) => manifest.load_balancers[name]?.provider === 'command'
      const asked = new Set(made.servers.flatMap(s => s.balancers).filter(name => !scripted(name)))
      const balancers = balancersOf(c, made, asked)
      try {
        await askBalancers({ manifest, emit, cancel }, balancers)
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
