/** A balancer in memory, and the faults it can have. */
import type { LoadBalancer, Receipt, Rotation } from '../../src/balancers/balancer.ts'
import { BalancerError } from '../../src/errors.ts'
import type { Server } from '../../src/manifest/manifest.ts'
import type { ModelServer } from './server.ts'
import type { Timeline } from './timeline.ts'

interface Member {
  out: boolean
  busyUntil: number
  /** Its health check says no, whatever the application does. */
  sick: { readonly from: number; readonly until: number }
}

export interface ModelBalancer {
  readonly members: ReadonlyMap<string, Member>
  rotation(server: string): Rotation
  /** A reload forgets what was told at run time; an operator's is in the file. */
  reload(): void
  outageUntil: number
  readonly operators: string | null
}

/** After an application has started, until the balancer's checks have seen it. */
const riseMs = 800

export function modelBalancer(
  servers: ReadonlyMap<string, ModelServer>,
  time: Timeline,
  operators: string | null,
): ModelBalancer {
  const members = new Map(
    [...servers.keys()].map(name => [
      name,
      { out: name === operators, busyUntil: 0, sick: { from: 0, until: 0 } } satisfies Member as Member,
    ]),
  )
  return {
    members,
    operators,
    outageUntil: 0,
    rotation(name) {
      const [member, server] = [members.get(name), servers.get(name)]
      if (member === undefined || server === undefined) return { state: 'unknown', detail: 'not a member' }
      if (member.out)
        return time.now() < member.busyUntil
          ? { state: 'draining', detail: 'drain', inFlight: 1 }
          : { state: 'out', detail: 'drain' }
      if (time.now() < member.sick.until) return { state: 'unhealthy', detail: 'its check fails' }
      if (server.runs === null || time.now() - server.since < riseMs) return { state: 'unhealthy', detail: 'no answer' }
      return { state: 'serving' }
    },
    reload() {
      for (const [name, member] of members) member.out = name === operators
    },
  }
}

/** How a call goes: `effect` is carried out unless it lies or fails before; then the answer comes. */
export interface Calls {
  call<T>(what: string, server: string | null, effect: (() => void) | null, answer: () => T): Promise<T>
}

export function loadBalancer(name: string, b: ModelBalancer, time: Timeline, random: () => number, calls: Calls) {
  const fault = (server: string) => new BalancerError(`${name} refused`, { server })
  const read = (server: string) => b.rotation(server)
  const balancer: LoadBalancer = {
    name,
    preflight: (servers: readonly Server[]) =>
      calls.call('preflight', null, null, () => ({
        rotation: Object.fromEntries(servers.map(s => [s.name, read(s.name)])),
        warnings: [],
      })),
    receipt: server =>
      calls.call('receipt', server.name, null, (): Receipt => {
        const { state } = read(server.name)
        return { balancer: name, server: server.name, before: state, data: {} }
      }),
    remove: ({ server }) =>
      calls.call(
        'remove',
        server,
        () => {
          const member = b.members.get(server)
          if (member === undefined) throw fault(server)
          if (!member.out) member.busyUntil = time.now() + random() * 4000
          member.out = true
        },
        () => undefined,
      ),
    restore: ({ server, before }) =>
      calls.call(
        'restore',
        server,
        () => {
          const member = b.members.get(server)
          if (member === undefined) throw fault(server)
          if (before !== 'out' && before !== 'draining') member.out = false
        },
        () => undefined,
      ),
    read: ({ server }) => calls.call('read', server, null, () => read(server)),
    evidence: async () => ({ drained: 'connections', serving: 'health', settleMs: 0, pollMs: 200 }),
    byHand: ({ server }) => `put ${server} back`,
  }
  return balancer
}
