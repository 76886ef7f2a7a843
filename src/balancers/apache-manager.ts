/** Apache's balancer-manager: its page, and a change to one member. It answers 200 to what it does not do (measured): nothing is believed. */
import { BalancerError } from '../errors.ts'
import { type AdminAnswer, type AdminHost, saidBy } from './admin-http.ts'
import { type ApacheBalancer, type ApacheMember, parsePage } from './apache-page.ts'

export interface Change {
  /** Draining mode: only sessions that stick to it go on. */
  readonly drain?: boolean
  /** No request at all goes there. */
  readonly disabled?: boolean
  readonly factor?: string
  readonly set?: number
}

const hints: Readonly<Record<number, string>> = {
  401: 'the manager has to be open to this host itself without a password: `Require local`',
  403: 'the manager has to be open to this host itself: `Require local`',
  404: 'is `path` where `SetHandler balancer-manager` stands, and `virtual_host` the name of that virtual host?',
}

function page(at: AdminHost, answer: AdminAnswer, balancer: string): ApacheBalancer {
  if (answer.status === 200) return parsePage(answer.body, balancer, at.where)
  const version = answer.headers['server'] === undefined ? '' : ` (${answer.headers['server']})`
  throw new BalancerError(
    `the balancer-manager at ${at.where}${version} answered HTTP ${answer.status}: ${saidBy(answer).replace(/<[^>]*>/g, ' ')}`,
    {
      hint: hints[answer.status] ?? 'is `path` where `SetHandler balancer-manager` stands?',
      ...(answer.status === 429 || answer.status === 503 ? { retryAfterMs: retryAfter(answer) } : {}),
    },
  )
}

const retryAfter = (answer: AdminAnswer): number => {
  const seconds = Number(answer.headers['retry-after'] ?? 0)
  return Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : 0
}

export async function readPage(
  at: AdminHost,
  path: string,
  balancer: string,
  signal: AbortSignal,
): Promise<ApacheBalancer> {
  return page(at, await at.ask({ method: 'GET', path }, signal), balancer)
}

const bit = (value: boolean) => (value ? '1' : '0')

/**
 * Changes one member as a browser would that has the page before it, and reads in the answer what became of it. Throws BalancerError also
 * for a change that Apache left undone.
 */
export async function changeMember(
  at: AdminHost,
  path: string,
  balancer: string,
  seen: ApacheBalancer,
  member: ApacheMember,
  change: Change,
  signal: AbortSignal,
): Promise<void> {
  // Apache unescapes values twice (push2table), some versions once: a name that survives both is needed.
  if (/[%&+]/.test(member.worker))
    throw new BalancerError(`the member ${member.worker} at ${at.where} has a name that cannot be sent back safely`)
  const fields = new URLSearchParams({
    b: balancer,
    w: member.worker,
    nonce: seen.nonce,
    ...(change.drain === undefined ? {} : { w_status_N: bit(change.drain) }),
    ...(change.disabled === undefined ? {} : { w_status_D: bit(change.disabled) }),
    ...(change.factor === undefined ? {} : { w_lf: change.factor }),
    ...(change.set === undefined ? {} : { w_ls: String(change.set) }),
  })
  const headers = {
    'content-type': 'application/x-www-form-urlencoded',
    referer: `http://${seen.serverName}${path}`,
  }
  const answer = await at.ask({ method: 'POST', path, headers, body: fields.toString() }, signal)
  const now = page(at, answer, balancer).members.find(m => m.worker === member.worker)
  if (now !== undefined && isAs(now, change)) return
  throw new BalancerError(`Apache at ${at.where} answered with success and did not change ${member.worker}`, {
    hint: 'its error log says why; AH10187: a proxy before it took the Referer away. It may also have been reloaded just now',
  })
}

/** Whether a member stands as a change wanted it. */
export const isAs = (member: ApacheMember, { drain, disabled, factor, set }: Change): boolean =>
  (drain === undefined || member.flags.has('Drn') === drain) &&
  (disabled === undefined || member.flags.has('Dis') === disabled) &&
  (factor === undefined || Number(member.factor) === Number(factor)) &&
  (set === undefined || member.set === set)
