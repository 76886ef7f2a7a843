/** The origins of a pool: which is which, the list with one of them changed, and what else changed since it was read. Pure. */
import { isIP } from 'node:net'
import type { Server } from '../manifest/manifest.ts'
import { type Machine, machineOf } from './cloud-members.ts'
import type { Origin, PoolRead } from './cloudflare-api.ts'

/** As two ways of writing the same address compare. */
export function plainAddress(address: string): string {
  const text = address.toLowerCase().replace(/\.$/, '')
  return isIP(text) === 6 && URL.canParse(`http://[${text}]`) ? new URL(`http://[${text}]`).hostname : text
}

/**
 * The index of the origin at this `address:port`, else of this name or address; without `wanted`, called like the server, else at its
 * address. A text says what is wrong.
 */
export function originOf(
  server: Pick<Server, 'name' | 'host'>,
  wanted: string | undefined,
  origins: readonly Origin[],
): number | string {
  const at = (o: Origin) => `${isIP(o.address) === 6 ? `[${o.address}]` : o.address}:${o.port ?? 0}`
  const exact = origins.flatMap((o, i) => (at(o) === wanted ? [i] : []))
  if (exact.length === 1 && exact[0] !== undefined) return exact[0]
  const machines = origins.map((o): Machine<string> => ({ id: at(o), name: o.name, addresses: [o.address] }))
  const found = machineOf(server, wanted, machines)
  if (typeof found !== 'string') return machines.indexOf(found)
  const name = (wanted ?? server.name).toLowerCase()
  if (origins.some(o => o.name.toLowerCase() === name)) return found
  // An address may be a host name there.
  const host = plainAddress(wanted ?? server.host)
  const hosts = origins.flatMap((o, i) => (plainAddress(o.address) === host ? [i] : []))
  return hosts.length === 1 && hosts[0] !== undefined ? hosts[0] : found
}

/** Told in answers, refused or pointless in requests: it changes by itself. */
const told = new Set(['disabled_at', 'healthy', 'failure_reason'])

/** The list as it is written: every origin as it was read, but for what only the API sets, and this one with `enabled`. */
export const withEnabled = (
  pool: PoolRead,
  index: number,
  enabled: boolean,
): readonly Readonly<Record<string, unknown>>[] =>
  pool.raw.map((origin, i) => {
    const kept = Object.fromEntries(Object.entries(origin).filter(([key]) => !told.has(key)))
    return i === index ? { ...kept, enabled } : kept
  })

const health = new Set(['healthy', 'failure_reason'])

/** One text for the same content, whatever the order of its keys. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  )

const called = (origin: Readonly<Record<string, unknown>>): string =>
  String(origin['name'] || origin['address'] || 'an origin without a name')

/** What all other origins have become since `before`, in words; empty: nothing. Their health changes by itself and is left out. */
export function othersChanged(
  before: PoolRead,
  after: PoolRead,
  own: { before: number; after: number },
): readonly string[] {
  const others = (pool: PoolRead, index: number) =>
    pool.raw
      .filter((_, i) => i !== index)
      .map(o => Object.fromEntries(Object.entries(o).filter(([key]) => !health.has(key))))
  const texts = (list: readonly Record<string, unknown>[]) => list.map(o => ({ name: called(o), text: canonical(o) }))
  const [was, is] = [texts(others(before, own.before)), texts(others(after, own.after))]
  const left = [...is]
  const gone = was.filter(w => {
    const same = left.findIndex(l => l.text === w.text)
    if (same >= 0) left.splice(same, 1)
    return same < 0
  })
  return [
    ...gone.map(g => (left.some(l => l.name === g.name) ? `${g.name} was changed` : `${g.name} was taken away`)),
    ...left.filter(l => !gone.some(g => g.name === l.name)).map(l => `${l.name} was added`),
  ]
}
