/** What nginx cannot keep, said before anything runs. Pure. */
import type { Look } from './nginx-look.ts'

/** From here on keepalive_min_timeout exists (nginx CHANGES, 1.27.4). */
const firstWithMinimum = [1, 27, 4] as const

function isBefore(version: string, than: readonly number[]): boolean {
  const parts = version.split('.').map(Number)
  for (const [i, number] of than.entries()) {
    const own = parts[i] ?? 0
    if (own !== number) return own < number
  }
  return false
}

/** Each removal and each return is a reload, and at a reload nginx closes idle keep-alive connections (measured: 40 of 40 clients). */
export function keepAliveWarning(name: string, host: string, look: Pick<Look, 'version' | 'keepsIdle'>): string[] {
  const { version } = look
  const resets = 'a client that does not ask again on a new connection sees a reset'
  if (version === '')
    return [
      `${name}: the version of nginx at ${host} is not known: before 1.27.4 a reload closes idle keep-alive connections, and ${resets}`,
    ]
  if (isBefore(version, firstWithMinimum))
    return [
      `${name}: nginx ${version} at ${host} closes idle keep-alive connections at each reload, two for each server: ${resets}; from 1.27.4 on set keepalive_min_timeout`,
    ]
  if (look.keepsIdle) return []
  return [
    `${name}: nginx ${version} at ${host} closes idle keep-alive connections at each reload, two for each server: ${resets}; set keepalive_min_timeout (for example 5s) in its configuration`,
  ]
}
