/** Who starts when. Knows nothing of servers, SSH or balancers. */

/**
 * Runs `work` over `items` in order, `limit` at a time; a free place is refilled at once. `mayStart` is asked before each start: after
 * the first no, nothing starts any more. Returns the results of what was started, in the order of ending; throws the first error when
 * all that was started has ended.
 */
export async function goThrough<T, R>(
  items: readonly T[],
  limit: number,
  mayStart: () => boolean,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = []
  const errors: unknown[] = []
  const queue = [...items]
  const worker = async (): Promise<void> => {
    while (queue.length > 0 && errors.length === 0 && mayStart()) {
      const item = queue.shift() as T
      try {
        results.push(await work(item))
      } catch (error) {
        errors.push(error)
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker))
  if (errors.length > 0) throw errors[0]
  return results
}
