/** Which servers a request selects, in the manifest's order. */
import picomatch from 'picomatch'
import { InputError } from '../errors.ts'
import type { Server } from '../manifest/manifest.ts'

/** The patterns of the input `servers`: a JSON array, or words separated by commas or white space. Throws InputError. */
export function readPatterns(input: string): readonly string[] {
  const trimmed = input.trim()
  if (!trimmed.startsWith('[') || !looksLikeJson(trimmed)) return trimmed.split(/[\s,]+/).filter(Boolean)
  let value: unknown
  try {
    value = JSON.parse(trimmed)
  } catch (cause) {
    throw new InputError(`input servers: ${trimmed} is not a JSON array`, {
      cause,
      hint: 'write ["web1","web2"], or web1, web2',
    })
  }
  if (!Array.isArray(value) || !value.every(v => typeof v === 'string' && v !== ''))
    throw new InputError('input servers: a JSON array of names is expected', { hint: 'write ["web1","web2"]' })
  return value
}

/** `[ab]*` is a glob, `[]` and `["web1"]` are JSON. */
const looksLikeJson = (text: string) => /^\[\s*("|\]|\d|$)/.test(text)

/** How one pattern without its `!` picks servers. */
function matcher(pattern: string): (server: Server) => boolean {
  if (pattern === 'all') return () => true
  if (pattern.startsWith('role:')) return server => server.roles.includes(pattern.slice('role:'.length))
  const matches = picomatch(pattern)
  return server => server.name === pattern || matches(server.name)
}

/**
 * The selected servers. `!name` takes away; only such patterns mean all but those. An empty list of patterns selects nothing.
 * Throws InputError for a pattern that matches no server, and when nothing is left.
 */
export function selectServers(servers: readonly Server[], input: string): readonly Server[] {
  const patterns = readPatterns(input)
  if (patterns.length === 0) {
    if (input.trim().startsWith('[')) return []
    throw new InputError('input servers is empty', {
      hint: 'write all, names, role:NAME, !name or a JSON array; [] means nothing to do',
    })
  }
  const wanted = patterns.filter(p => !p.startsWith('!'))
  const unwanted = patterns.filter(p => p.startsWith('!')).map(p => p.slice(1))
  if ([...wanted, ...unwanted].includes(''))
    throw new InputError('input servers: a "!" stands alone', { hint: 'write !name, or !role:NAME' })
  for (const pattern of [...wanted, ...unwanted])
    if (!servers.some(matcher(pattern)))
      throw new InputError(`input servers: "${pattern}" matches no server`, {
        hint: `servers: ${listOf(servers)}; roles: ${rolesOf(servers)}`,
      })
  const selected = servers.filter(
    server => (wanted.length === 0 || wanted.some(p => matcher(p)(server))) && !unwanted.some(p => matcher(p)(server)),
  )
  if (selected.length === 0)
    throw new InputError(`input servers: nothing is left of "${input}"`, { hint: 'write [] if nothing is to be done' })
  return selected
}

const listOf = (servers: readonly Server[]) => {
  const names = servers.slice(0, 12).map(s => s.name)
  return servers.length > names.length
    ? `${names.join(', ')} and ${servers.length - names.length} more`
    : names.join(', ')
}
const rolesOf = (servers: readonly Server[]) => [...new Set(servers.flatMap(s => s.roles))].join(', ') || 'none'
