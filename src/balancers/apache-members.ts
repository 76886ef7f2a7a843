/** Apache's members: which one a server is, what it says of itself, what the receipt holds, and what brings it where it should be. Pure. */
import { z } from 'zod'
import { BalancerError } from '../errors.ts'
import type { Addressed } from './addressed-member.ts'
import type { Change } from './apache-manager.ts'
import type { ApacheMember } from './apache-page.ts'
import type { Receipt, Rotation } from './balancer.ts'

/** Without a port a URL has its scheme's. */
const ports: Readonly<Record<string, string>> = {
  http: '80',
  h2c: '80',
  ws: '80',
  https: '443',
  h2: '443',
  wss: '443',
  ajp: '8009',
}

export interface ApacheCandidate extends Addressed {
  readonly member: ApacheMember
}

export const candidates = (members: readonly ApacheMember[]): ApacheCandidate[] =>
  members.map(member => {
    const [, scheme = '', authority = ''] = /^([a-z0-9+]+):\/\/([^/]*)/i.exec(member.worker) ?? []
    const whole = /:\d+$/.test(authority) ? authority : `${authority}:${ports[scheme.toLowerCase()] ?? '0'}`
    return {
      names: [member.worker, ...(member.route === '' ? [] : [member.route])],
      address: whole.toLowerCase(),
      shown: member.route === '' ? member.worker : `${member.route} (${member.worker})`,
      member,
    }
  })

const entry = z.strictObject({
  where: z.string().max(300),
  worker: z.string().max(400),
  drain: z.boolean(),
  disabled: z.boolean(),
  factor: z.string().regex(/^\d{1,6}(\.\d{1,2})?$/),
  set: z.number().int().min(0).max(99),
})
const data = z.object({ members: z.array(entry).max(100) })
export type ApacheBefore = z.output<typeof entry>

export const entryOf = (where: string, { worker, flags, factor, set }: ApacheMember): ApacheBefore => ({
  where,
  worker,
  drain: flags.has('Drn'),
  disabled: flags.has('Dis'),
  factor,
  set,
})

/** What the receipt says. It may come back from a server: only what has the right form is taken. Throws BalancerError. */
export function entriesBefore(receipt: Receipt): readonly ApacheBefore[] {
  const read = data.safeParse(receipt.data)
  if (read.success) return read.data.members
  throw new BalancerError(`the receipt of ${receipt.server} at ${receipt.balancer} cannot be used`, {
    server: receipt.server,
    cause: read.error,
    hint: 'set the server to its right state at the balancer by hand',
  })
}

/** Takes new requests, as far as an operator has a say in it. */
export const wasReady = (before: ApacheBefore): boolean => !before.drain && !before.disabled

const isReady = ({ flags }: ApacheMember): boolean => !flags.has('Drn') && !flags.has('Dis') && !flags.has('Stop')

/** Draining mode, which lets sessions that stick to it go on; what an operator took out stays as it is. */
export const removing = (member: ApacheMember): Change | null => (isReady(member) ? { drain: true } : null)

/** No sticky session either; draining mode stays, which tells our own removal from an operator's. */
export const insisting = ({ flags }: ApacheMember): Change | null =>
  flags.has('Dis') || flags.has('Stop') ? null : { drain: true, disabled: true }

/** null: it stands as it was. */
export function restoring(member: ApacheMember, before: ApacheBefore): Change | null {
  const { flags } = member
  const change: Change = {
    ...(flags.has('Drn') === before.drain ? {} : { drain: before.drain }),
    ...(flags.has('Dis') === before.disabled ? {} : { disabled: before.disabled }),
    ...(Number(member.factor) === Number(before.factor) ? {} : { factor: before.factor }),
    ...(member.set === before.set ? {} : { set: before.set }),
  }
  return Object.keys(change).length === 0 ? null : change
}

/** `counted`: no reload came between that let old processes go on with requests that are in no count any more. */
export function rotationOf(member: ApacheMember, where: string, counted: boolean): Rotation {
  const { flags, elected } = member
  const detail = `${member.worker} at ${where}: ${[...flags].join(' ')}`
  const out = flags.has('Dis') || flags.has('Stop')
  if (out || flags.has('Drn')) {
    const busy = counted ? member.busy : undefined
    if (busy === undefined)
      return {
        state: 'draining',
        detail: `${detail}, ${counted ? 'its count of requests in flight is broken' : 'Apache was reloaded, and its old processes are not counted'}`,
        served: elected,
      }
    if (out && busy === 0) return { state: 'out', detail }
    return { state: 'draining', detail: `${detail}, ${busy} in flight`, inFlight: busy, served: elected }
  }
  return flags.has('Ok') ? { state: 'serving' } : { state: 'unhealthy', detail }
}
