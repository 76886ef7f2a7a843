/** A balancer that answers by a script, for the controller: what it says is a function of time and of the calls so far. */
import type { Evidence, LoadBalancer, Receipt, Rotation } from '../../src/balancers/balancer.ts'
import type { Place, PlaceSettings } from '../../src/balancers/place.ts'
import type { Clock } from '../../src/clock.ts'

export interface Call {
  readonly name: string
  readonly what: 'remove' | 'insist' | 'force' | 'restore' | 'read'
  readonly at: number
}

export interface ScriptedOptions {
  readonly name?: string
  readonly clock: Clock
  readonly calls: Call[]
  /** Milliseconds since the last writing call (since 0 without one), and which it was. */
  readonly says: (since: number, last: Call['what'] | undefined, reads: number) => Rotation
  readonly evidence?: Partial<Evidence>
  readonly can?: readonly ('insist' | 'force')[]
  readonly before?: Rotation['state']
  readonly settings?: Partial<PlaceSettings>
  /** Throws instead. */
  readonly refuses?: (what: Call['what'], at: number) => Error | undefined
}

export const serving: Rotation = { state: 'serving' }
export const out: Rotation = { state: 'out', detail: 'MAINT' }
export const draining = (inFlight: number, served = 0): Rotation => ({
  state: 'draining',
  detail: 'DRAIN',
  inFlight,
  served,
})
export const unhealthy: Rotation = { state: 'unhealthy', detail: 'DOWN' }

export function place(options: ScriptedOptions): Place {
  const { clock, calls, name = 'edge' } = options
  let last: Call | undefined
  let reads = 0
  const call = async (what: Call['what']) => {
    const entry = { name, what, at: clock.now() }
    calls.push(entry)
    const refused = options.refuses?.(what, clock.now())
    if (refused) throw refused
    if (what === 'read') reads++
    else last = entry
  }
  const balancer: LoadBalancer = {
    name,
    preflight: async () => ({ rotation: {}, warnings: [] }),
    receipt: async () => receipt,
    remove: () => call('remove'),
    ...(options.can?.includes('insist') ? { insist: () => call('insist') } : {}),
    ...(options.can?.includes('force') ? { force: () => call('force') } : {}),
    restore: () => call('restore'),
    read: async () => {
      await call('read')
      return options.says(clock.now() - (last?.at ?? 0), last?.what, reads)
    },
    evidence: async () => ({
      drained: 'connections',
      serving: 'health',
      settleMs: 0,
      pollMs: 200,
      ...options.evidence,
    }),
    byHand: () => '',
  }
  const receipt: Receipt = { balancer: name, server: 'web1', before: options.before ?? 'serving', data: {} }
  return {
    balancer,
    receipt,
    settings: {
      waitAfterRemoving: 0,
      waitAfterAdding: 0,
      drainTimeout: undefined,
      addTimeout: undefined,
      onDrainTimeout: 'continue',
      ...options.settings,
    },
  }
}
