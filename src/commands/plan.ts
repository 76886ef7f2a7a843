/** `plan`: reads what `deploy` would read, takes no lock, runs no step, writes nothing, and shows what would be done. */
import { PreflightError } from '../errors.ts'
import { membersOf } from '../plan/membership.ts'
import { selectServers } from '../plan/select.ts'
import type { Result } from '../report/events.ts'
import { together } from '../rollout/board.ts'
import { openSessions } from '../rollout/open-sessions.ts'
import type { Context } from './context.ts'
import { balancersOf, opening, planOf } from './deploy.ts'
import { fleetOf } from './open-fleet.ts'
import { checkVariables, materialOf } from './site.ts'

export async function plan(c: Context): Promise<Result> {
  const { request, manifest, emit, cancel } = c
  const selected = selectServers(manifest.servers, request.servers)
  checkVariables(manifest, request.env, selected)
  const material = await materialOf(request, manifest, emit, cancel)
  const fleet = fleetOf(c)
  try {
    emit({ type: 'phase', phase: 'preflight' })
    const { sessions, failed } = await openSessions({ ...opening(c, material, fleet), servers: selected, lock: null })
    for (const [server, error] of failed)
      emit({
        type: 'message',
        level: 'error',
        server,
        text: error instanceof Error ? error.message : String(error),
        ...(error instanceof PreflightError && error.hint ? { hint: error.hint } : {}),
      })
    if (failed.size > 0) throw together(failed, 'preflight')
    const made = await planOf(c, material, sessions)
    const balancers = balancersOf(c, made, material)
    try {
      for (const [name, balancer] of balancers) {
        const { warnings } = await balancer.preflight(membersOf(manifest, name), cancel)
        for (const text of warnings) emit({ type: 'message', level: 'warning', text })
      }
    } finally {
      for (const balancer of balancers.values()) balancer.close?.()
    }
    c.showPlan(made)
    return 'success'
  } finally {
    fleet.close()
  }
}
