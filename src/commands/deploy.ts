/** `deploy`: everything that can be checked first, then the rollout. */
import { selectServers } from '../plan/select.ts'
import type { Result } from '../report/events.ts'
import { runDeployment } from '../rollout/deployment.ts'
import { openSessions } from '../rollout/open-sessions.ts'
import { recoverAll, undecided } from '../rollout/recover-all.ts'
import type { Package } from '../rollout/worker.ts'
import type { Context } from './context.ts'
import { balancersOf, opening, planOf, recoveryOf, workersFor } from './equipment.ts'
import { fleetOf, knownHostsText } from './open-fleet.ts'
import { runFilePath, writeRunFile } from './run-file.ts'
import { checkVariables, lockInfo, materialOf, migratorOf, newToken, packageOf, withScratch } from './site.ts'

export async function deploy(c: Context): Promise<Result> {
  const { request, manifest, emit, cancel, clock } = c
  const selected = selectServers(manifest.servers, request.servers)
  if (selected.length === 0) {
    emit({ type: 'message', level: 'notice', text: 'Nothing to do: the input servers is [].' })
    return 'success'
  }
  checkVariables(manifest, request.env, selected)
  return withScratch(request.temp, async scratch => {
    const material = await materialOf(request, manifest, scratch, emit, cancel)
    const fleet = fleetOf(c)
    const lock = { owner: { token: newToken() }, info: lockInfo(request, clock), wait: manifest.rollout.lock_wait }
    const { token } = lock.owner
    const path = runFilePath(request, token)
    const file = {
      version: 1,
      token,
      servers: selected.map(s => s.name),
      manifest,
      knownHosts: knownHostsText(c),
    } as const
    writeRunFile(path, { ...file, finished: false })
    c.saveRunFile(path)
    let packed: Package | null = null
    try {
      return await runDeployment({
        manifest,
        selected,
        emit,
        clock,
        cancel,
        finished: () => writeRunFile(path, { ...file, finished: true }),
        openSessions: () =>
          openSessions({
            ...opening(c, material, fleet),
            servers: selected,
            environment: manifest.servers,
            alsoRead: migratorOf(manifest),
            lock,
          }),
        async recover(sessions) {
          if (undecided(sessions, false).length === 0) return false
          emit({ type: 'phase', phase: 'recover' })
          await recoverAll(recoveryOf(c, false), sessions)
          return true
        },
        async makePlan(opened) {
          const plan = await planOf(c, material, opened)
          packed = await packageOf(material, scratch, opened.sessions, cancel)
          return plan
        },
        makeWorkers: (plan, sessions) => workersFor(c, plan, material.contentId, sessions, packed),
        openBalancers: plan => balancersOf(c, plan, new Set(plan.servers.flatMap(s => s.balancers))),
      })
    } finally {
      fleet.close()
    }
  })
}
