/** A hold over the servers that are done: what is asked of each, and what is done about one that went bad. */
import type { LoadBalancer, Rotation } from '../balancers/balancer.ts'
import { describe } from '../balancers/place.ts'
import type { Clock } from '../clock.ts'
import { BalancerError, CancelledError, LockLostError, messageOf } from '../errors.ts'
import type { Manifest } from '../manifest/manifest.ts'
import type { Hold } from '../manifest/schema.ts'
import { membersOf } from '../plan/membership.ts'
import type { PlannedServer } from '../plan/plan.ts'
import type { Emit } from '../report/events.ts'
import type { Ended } from './hands-contract.ts'
import { badInARow, type Held, hold } from './hold.ts'
import type { Worker } from './worker.ts'

export interface HoldStage {
  readonly manifest: Manifest
  readonly hold: Hold
  readonly servers: readonly { readonly worker: Worker; readonly planned: PlannedServer; readonly ended: Ended }[]
  readonly balancers: ReadonlyMap<string, LoadBalancer>
  readonly emit: Emit
  readonly clock: Clock
  readonly cancel: AbortSignal
  /** The release that the servers run. */
  readonly target: string | null
  readonly fell: (server: string, why: string) => Promise<void>
  /** Somebody took it out of rotation: that is no fault of it, and it stays out. */
  readonly taken: (server: string, balancer: string) => void
  readonly over: () => boolean
}

/** Milliseconds for which what a balancer said of all its servers counts for each of them. */
const sameAnswerMs = 500

/** Where servers stand at a balancer: one call for all of a round. A balancer that does not answer any more is no fault of theirs. */
function rotationsOf({ manifest, clock, cancel }: HoldStage, balancer: LoadBalancer) {
  let asked: { readonly at: number; readonly answer: Promise<Readonly<Record<string, Rotation>> | null> } | null = null
  let silent = 0
  const ask = async () => {
    try {
      const { rotation } = await balancer.preflight(membersOf(manifest, balancer.name), cancel)
      silent = 0
      return rotation
    } catch (error) {
      if (cancel.aborted || ++silent >= badInARow)
        throw new BalancerError(`${balancer.name} does not say any more where its servers stand: ${messageOf(error)}`, {
          hint: 'the servers that were done stay as they are; look at the balancer',
          cause: error,
        })
      return null
    }
  }
  return (): Promise<Readonly<Record<string, Rotation>> | null> => {
    if (asked === null || clock.now() - asked.at > sameAnswerMs) asked = { at: clock.now(), answer: ask() }
    return asked.answer
  }
}

/** Throws BalancerError, LockLostError and the signal's reason. */
export async function holdStage(h: HoldStage): Promise<void> {
  const names = h.servers.map(s => s.planned.name)
  if (names.length === 0 || h.hold.for === 0) return
  const own = h.hold.check
  const text = `holding ${h.hold.for} s: ${names.join(', ')} must stay good${own === undefined ? '' : ' by the check of the hold'}`
  h.emit({ type: 'message', level: 'info', text })
  const said = new Map([...h.balancers].map(([name, balancer]) => [name, rotationsOf(h, balancer)]))
  const held = h.servers.map(({ worker, planned, ended }): Held => {
    let kept = ended.keptOut
    const behind = own === undefined ? planned.balancers : []
    return {
      server: planned.name,
      async ask() {
        for (const balancer of kept ? [] : behind) {
          const rotation = (await said.get(balancer)?.())?.[planned.name]
          if (rotation === undefined || rotation.state === 'serving') continue
          if (rotation.state !== 'out' && rotation.state !== 'draining')
            return `${balancer} says: ${describe(rotation)}`
          kept = true
          h.taken(planned.name, balancer)
        }
        try {
          return await worker.look(h.target, own)
        } catch (error) {
          if (error instanceof LockLostError || error instanceof CancelledError || h.cancel.aborted) throw error
          return messageOf(error)
        }
      },
    }
  })
  await hold(h.hold.for, held, h.fell, h.over, h.clock, h.cancel)
}
