/** The same work for many things at once, with every failure told and not the first alone. */
import { BalancerError, messageOf } from '../errors.ts'

/** All of `work`, also when some of it fails. Throws BalancerError, or the signal's reason. */
export async function allOf<T, R>(
  items: readonly T[],
  signal: AbortSignal,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results = await Promise.allSettled(items.map(work))
  if (signal.aborted) throw signal.reason
  const failed = results.flatMap(r => (r.status === 'rejected' ? [r.reason as unknown] : []))
  if (failed.length === 1) throw failed[0]
  if (failed.length > 1) {
    const hint = failed.find(e => e instanceof BalancerError && e.hint !== undefined)
    const throttled = failed.flatMap(e => (e instanceof BalancerError ? (e.retryAfterMs ?? []) : []))
    throw new BalancerError(failed.map(messageOf).join('; '), {
      cause: failed[0],
      ...(hint instanceof BalancerError && hint.hint !== undefined ? { hint: hint.hint } : {}),
      ...(throttled.length > 0 ? { retryAfterMs: Math.max(...throttled) } : {}),
    })
  }
  return results.flatMap(r => (r.status === 'fulfilled' ? [r.value] : []))
}
