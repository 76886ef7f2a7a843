/** What of each balancer's word the servers confirm themselves, for people. Pure. */
import { blind, type Confirm, defaultQuietFor, wantedAt } from '../manifest/confirm.ts'
import type { Manifest } from '../manifest/manifest.ts'
import type { PlannedServer } from './plan.ts'

const among = (names: readonly string[], provider: string): boolean => names.includes(provider)

const ports = (all: readonly Confirm[]): string => {
  const different = [...new Set(all.map(c => c.port))]
  return different.length === 1
    ? `port ${different[0]}`
    : `its port (${different.slice(0, 5).join(', ')}${different.length > 5 ? ', …' : ''})`
}

function conditions(all: readonly Confirm[]): string {
  const [first] = all
  if (first === undefined) return ''
  const quiet = `it counts as drained only when no traffic arrived at ${ports(all)} for ${first.quietFor} s`
  const within = `traffic at ${ports(all)} is waited for ${first.within} s at most after it serves, and its absence is a warning`
  return [...(first.quietFor > 0 ? [quiet] : []), ...(first.within > 0 ? [within] : [])].join('; ')
}

/** One text for each balancer that servers leave and whose word is confirmed, or would have to be. */
export function confirmTexts(
  manifest: Pick<Manifest, 'load_balancers' | 'servers' | 'verify'>,
  leaving: readonly Pick<PlannedServer, 'name' | 'balancers'>[],
): readonly string[] {
  return Object.entries(manifest.load_balancers).flatMap(([name, settings]) => {
    const names = new Set(leaving.filter(s => s.balancers.includes(name)).map(s => s.name))
    const wanted = manifest.servers.filter(s => names.has(s.name)).map(s => wantedAt(settings, manifest, s))
    const confirms = wanted.flatMap(w => ('confirm' in w ? [w.confirm] : []))
    const each = `${name}: each server watches its own traffic`
    if (wanted.length === 0) return []
    if (settings.confirm !== undefined)
      return confirms.length > 0
        ? [`${each} (confirm): ${conditions(confirms)}.`]
        : [`${name}: nothing is confirmed by the servers (quiet_for: 0).`]
    const always = among(blind.always, settings.provider)
    if (!always && !among(blind.sometimes, settings.provider)) return []
    if (confirms.length > 0)
      return [
        `${each}, ${always ? `for ${settings.provider} cannot tell that nothing arrives any more` : 'where the balancer cannot tell that nothing arrives any more'} (default ${defaultQuietFor} s, at the port that verify asks): ${conditions(confirms)}.`,
      ]
    return always
      ? [
          `${name}: ${settings.provider} cannot tell that nothing arrives any more, and no port is known at which servers could: write load_balancers.${name}.confirm.port.`,
        ]
      : []
  })
}
