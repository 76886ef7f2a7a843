/** The hands of one server's way: its session, its balancers, its checks. */
import { unthrottled } from '../balancers/backing-off.ts'
import type { LoadBalancer, Receipt } from '../balancers/balancer.ts'
import { bringBack, takeOut } from '../balancers/controller.ts'
import { inRotation, type Place } from '../balancers/place.ts'
import type { Clock } from '../clock.ts'
import { BalancerError } from '../errors.ts'
import type { Manifest, Server } from '../manifest/manifest.ts'
import { membersOf, minInService } from '../plan/membership.ts'
import type { PlannedServer } from '../plan/plan.ts'
import type { Emit } from '../report/events.ts'
import type { Found, Hands, PutBack, TakenOut } from './hands-contract.ts'
import type { Leaving } from './leaving.ts'

/** What of a server's session its way needs. */
export interface Grip {
  readonly server: Server
  /** Receipts of an earlier deployment that left the server out, by balancer. */
  readonly earlierReceipts: Readonly<Record<string, Receipt>>
  /** Seconds after it was drained there, and after it serves there again. */
  waitsAt(balancer: string): { readonly removing: number; readonly adding: number }
  switchTo: Hands['switchTo']
  note: Hands['note']
  activate: Hands['activate']
  verify: Hands['verify']
  /** Throws LockLostError when nothing may be started on the server any more. */
  assertHeld(): void
  /** Ends with the run or with the lease. */
  readonly signal: AbortSignal
}

export interface HandsDeps {
  readonly manifest: Manifest
  readonly planned: PlannedServer
  readonly balancers: ReadonlyMap<string, LoadBalancer>
  readonly leaving: Leaving
  readonly emit: Emit
  readonly clock: Clock
  /** Aborted with `Turned` when the deployment stops: who is not switched goes straight back. */
  readonly stop: AbortSignal
  readonly cancelled: () => boolean
}

/** Seconds that the restore calls of a cancelled run may take. */
const writeBackSeconds = 5

export function handsFor(grip: Grip, deps: HandsDeps): Hands {
  const { manifest, planned, emit, clock } = deps
  const name = grip.server.name
  /** Aborted when a write found the lock gone: the waits around it end with that. */
  const gone = new AbortController()
  const assertHeld = () => {
    try {
      grip.assertHeld()
    } catch (error) {
      gone.abort(error)
      throw error
    }
  }
  /** What was taken out by these hands, and the balancers where the second step was needed: that looks like a person's hand. */
  const taken = new Set<Receipt>()
  const insisted = new Set<string>()
  const told = new Set<string>()
  const balancerNamed = (balancer: string): LoadBalancer => {
    const found = deps.balancers.get(balancer)
    if (found === undefined) throw new BalancerError(`${balancer} is not open`, { server: name })
    return whileHeld(found, assertHeld, () => insisted.add(balancer))
  }
  const placeOf = (receipt: Receipt): Place => {
    const settings = manifest.load_balancers[receipt.balancer]
    const { removing, adding } = grip.waitsAt(receipt.balancer)
    const balancer = balancerNamed(receipt.balancer)
    const watch = balancer.watch?.(receipt)
    return {
      balancer,
      receipt,
      ...(watch && {
        ...(watch.quiet && { quiet: watch.quiet }),
        ...(watch.within > 0 && { arrival: { within: watch.within, seen: watch.arrived } }),
        rest: watch.end,
      }),
      theirs: async signal => taken.has(receipt) && !insisted.has(receipt.balancer) && isTheirs(receipt, signal),
      settings: {
        waitAfterRemoving: removing,
        waitAfterAdding: adding,
        drainTimeout: settings?.drain_timeout,
        addTimeout: settings?.add_timeout,
        onDrainTimeout: settings?.on_drain_timeout ?? 'continue',
      },
    }
  }
  /** Out as our removal left it; what a person did since is the person's. */
  const isOurs = async (balancer: string, earlier: Receipt): Promise<boolean> =>
    (await balancerNamed(balancer).isOurs?.(earlier, grip.signal)) ?? true
  /** Out, and not as our removal left it, where the balancer can tell. */
  const isTheirs = async (receipt: Receipt, signal: AbortSignal): Promise<boolean> => {
    const balancer = balancerNamed(receipt.balancer)
    if (balancer.isOurs === undefined) return false
    const rotation = await balancer.read(receipt, signal)
    if (inRotation(rotation) || rotation.state === 'unknown') return false
    return !(await balancer.isOurs(receipt, signal))
  }
  const signal = AbortSignal.any([grip.signal, gone.signal])
  const controller = { clock, signal, onProgress: emit }
  const untilStopped = AbortSignal.any([signal, deps.stop])

  return {
    async look(): Promise<Found> {
      const found = { serving: [] as Receipt[], ours: [] as Receipt[], operators: [] as string[] }
      for (const balancer of planned.balancers) {
        const now = await balancerNamed(balancer).receipt(grip.server, grip.signal)
        if (now.before === 'unknown')
          throw new BalancerError(`${balancer} does not say where ${name} stands`, { server: name, stage: 'removing' })
        const earlier = grip.earlierReceipts[balancer]
        if (inRotation({ state: now.before, detail: '' })) found.serving.push(now)
        else if (earlier !== undefined && (await isOurs(balancer, earlier))) found.ours.push(earlier)
        else {
          found.operators.push(balancer)
          if (!told.has(balancer))
            emit({
              type: 'balancer',
              server: name,
              balancer,
              what: 'kept-out',
              seconds: 0,
              detail: 'found out of rotation, and not by us',
            })
          told.add(balancer)
        }
      }
      return found
    },
    async mayLeave() {
      const gates = planned.balancers.map(balancer => ({
        balancer: balancerNamed(balancer),
        members: membersOf(manifest, balancer),
        needed: minInService(manifest, balancer),
      }))
      return deps.leaving.ask(name, gates, untilStopped)
    },
    async takeOut(receipts): Promise<TakenOut> {
      grip.assertHeld()
      for (const receipt of receipts) taken.add(receipt)
      const out = await takeOut(receipts.map(placeOf), { ...controller, signal: untilStopped })
      switch (out.result) {
        case 'drained': {
          const left = Object.entries(out.left).filter(([, n]) => n !== 0)
          for (const [balancer, n] of left)
            emit({
              type: 'message',
              level: 'warning',
              server: name,
              text: `${balancer}: ${n ?? 'an unknown number of'} old connections to ${name} were still open at drain_timeout; going on (on_drain_timeout: continue)`,
            })
          return { is: 'out' }
        }
        case 'serving-again':
          return { is: 'serving again', reason: `${out.balancer}: ${out.detail}` }
        case 'failed':
          return { is: 'failed', error: out.error, back: asPutBack(out.back) }
      }
    },
    async putBack(receipts) {
      grip.assertHeld()
      const back = await bringBack(receipts.map(placeOf), controller)
      for (const balancer of back.result === 'serving' ? (back.keptOut ?? []) : []) {
        const receipt = receipts.find(r => r.balancer === balancer)
        const text = `${name} stays out of ${balancer}: somebody took it out meanwhile`
        const hint = receipt === undefined ? '' : `to put it back: ${balancerNamed(balancer).byHand(receipt)}`
        emit({ type: 'message', level: 'warning', server: name, text, hint })
      }
      return asPutBack(back)
    },
    async writeBack(receipts) {
      const soon = AbortSignal.timeout(writeBackSeconds * 1000)
      const restore = (receipt: Receipt) => balancerNamed(receipt.balancer).restore(receipt, soon)
      const now = { clock, signal: soon }
      await Promise.all(receipts.map(r => unthrottled(now, writeBackSeconds * 1000, () => restore(r))))
    },
    assertHeld: () => grip.assertHeld(),
    switchTo: release => grip.switchTo(release),
    activate: release => grip.activate(release),
    verify: release => grip.verify(release),
    note: (what, receipts) => grip.note(what, receipts),
    stage: (stage, detail) => emit({ type: 'stage', server: name, stage, ...(detail === undefined ? {} : { detail }) }),
    stopped: () => deps.stop.aborted || deps.cancelled(),
    cancelled: deps.cancelled,
  }
}

/**
 * Every write asks first: a process that was stopped goes on in the midst of a wait, maybe after another has taken over, and no balancer
 * knows of locks.
 */
function whileHeld(balancer: LoadBalancer, assertHeld: () => void, insisting: () => void): LoadBalancer {
  const { insist, force } = balancer
  const guarded =
    (write: (receipt: Receipt, signal: AbortSignal) => Promise<void>, before: () => void = () => {}) =>
    async (receipt: Receipt, signal: AbortSignal): Promise<void> => {
      assertHeld()
      before()
      await write.call(balancer, receipt, signal)
    }
  return {
    ...balancer,
    remove: guarded(balancer.remove),
    restore: guarded(balancer.restore),
    ...(insist === undefined ? {} : { insist: guarded(insist, insisting) }),
    ...(force === undefined ? {} : { force: guarded(force, insisting) }),
  }
}

type Back = Awaited<ReturnType<typeof bringBack>>

const asPutBack = (back: Back): PutBack => {
  switch (back.result) {
    case 'serving':
      return { state: 'serving', keptOut: back.keptOut ?? [] }
    case 'left-out':
      return {
        state: 'unhealthy',
        reason: back.error.message + (back.confirmed ? '' : '; and it was not seen out again'),
      }
    case 'unknown':
      return { state: 'unknown', reason: back.error.message }
  }
}
