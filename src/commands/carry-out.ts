/** How `deploy` and `rollback` carry their plan out: under the locks, after recovery, with a file for `post` to go on from. */
import type { Server } from '../manifest/manifest.ts'
import type { Plan } from '../plan/plan.ts'
import type { Result } from '../report/events.ts'
import { runDeployment } from '../rollout/deployment.ts'
import { type Opened, openSessions } from '../rollout/open-sessions.ts'
import { recoverAll, undecided } from '../rollout/recover-all.ts'
import type { Package } from '../rollout/worker.ts'
import type { Context } from './context.ts'
import { confirmedBalancers, opening, recoveryOf, workersFor } from './equipment.ts'
import { fleetOf, knownHostsText } from './open-fleet.ts'
import { runFilePath, writeRunFile } from './run-file.ts'
import { type Selection, sharingOf } from './shard.ts'
import { lockInfo, type Material, newToken } from './site.ts'

/** A plan with what goes with it. */
export interface Prepared {
  readonly plan: Plan
  /** Migrations are recorded by it. */
  readonly contentId: string
  /** null: nothing is uploaded. */
  readonly packed: Package | null
}

export interface Course {
  readonly selection: Selection
  readonly material: Pick<Material, 'release' | 'source'>
  /** Content id of what is deployed: the same in all shards. */
  readonly build: string
  /** Servers that are read besides, where they can be reached. */
  readonly alsoRead: readonly Server[]
  /** Made anew after a recovery. Throws InputError. */
  readonly prepare: (opened: Opened) => Promise<Prepared>
}

const noRecordOfShards =
  'github-deployment: a shard, also 1/1, makes no deployment record; give the input to the job with the command report, which makes one for all.'

export async function carryOut(c: Context, course: Course): Promise<Result> {
  const { request, manifest, emit, cancel, clock } = c
  const { own: selected, all, shard } = course.selection
  const shared = sharingOf(request, manifest, course.selection, course.build)
  const fanOut = shard === null ? null : { ...shard, selection: all.map(s => s.name) }
  const fleet = fleetOf(c)
  const token = newToken()
  const info = lockInfo(request, clock, shared?.shards)
  const lock = { owner: { token }, shared, info, wait: manifest.rollout.lock_wait }
  // The shards' matrix ends in the job `report`, also where it has come to be of one shard.
  if (request.shard !== null && request.githubDeployment === true)
    emit({ type: 'message', level: 'warning', text: noRecordOfShards })
  const path = runFilePath(request, token)
  const file = {
    version: 1,
    token,
    ...(shared === null || fanOut === null ? {} : { fanOut: { shared, shard: fanOut } }),
    servers: selected.map(s => s.name),
    manifest,
    knownHosts: knownHostsText(c),
  } as const
  writeRunFile(path, { ...file, finished: false })
  c.saveRunFile(path)
  let prepared: Prepared | null = null
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
          ...opening(c, course.material, fleet),
          servers: selected,
          environment: manifest.servers,
          alsoRead: course.alsoRead,
          unreachable: manifest.rollout.unreachable,
          elsewhere: shard !== null,
          lock,
        }),
      async recover(sessions) {
        if (undecided(sessions, false).length === 0) return false
        emit({ type: 'phase', phase: 'recover' })
        await recoverAll(recoveryOf(c, false, fanOut), sessions)
        return true
      },
      async makePlan(opened) {
        prepared = await course.prepare(opened)
        return prepared.plan
      },
      makeWorkers: (plan, sessions) =>
        workersFor(c, plan, prepared?.contentId ?? '', sessions, prepared?.packed ?? null),
      openBalancers: plan => confirmedBalancers(c, plan, new Set(plan.servers.flatMap(s => s.balancers))),
    })
  } finally {
    fleet.close()
  }
}

/** Says that there is nothing to do for the input `servers: []`; true: nothing is selected. */
export function nothingSelected(c: Context, selected: readonly Server[]): boolean {
  if (selected.length > 0) return false
  c.emit({ type: 'message', level: 'notice', text: 'Nothing to do: the input servers is [].' })
  return true
}
