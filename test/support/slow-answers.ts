/** Answers that take six seconds, one at least in flight on every server of a site. */
import type { Site } from './site.ts'
import { waitUntil } from './wait-until.ts'

export interface SlowAnswer {
  readonly status: number
  readonly server: string | null
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, n) => total + n, 0)

/** Resolves when each server has one in flight; the promises never reject: an answer that was cut off has status 0. */
export async function slowAnswers(at: Site, url: string, count = 8): Promise<Promise<SlowAnswer>[]> {
  let open = 0
  const ask = async (): Promise<SlowAnswer> => {
    open++
    try {
      const response = await fetch(`${url}slow?ms=6000`, { headers: { connection: 'close' } })
      await response.text()
      return { status: response.status, server: response.headers.get('x-server') }
    } catch {
      return { status: 0, server: null }
    } finally {
      open--
    }
  }
  const inFlight = async (port: number) =>
    ((await (await fetch(`http://127.0.0.1:${port}/stats`)).json()) as { inFlight: number }).inFlight
  const slow = Array.from({ length: count }, ask)
  await waitUntil('each server has one in flight', async () => {
    const each = await Promise.all(at.servers.map(s => inFlight(s.appPort)))
    if (each.every(n => n > 0)) return true
    // A balancer that chooses at random may have sent all of them to the same server.
    if (sum(each) >= open) slow.push(ask())
    return false
  })
  return slow
}
