/** `${{ name }}`: a strict look-up, no functions, no operators. */
import { ManifestError } from '../errors.ts'
import { groupOf, type NameGroup, namesOf } from './lookup-names.ts'
import { suggestion } from './nearest.ts'

export interface Lookup {
  /** As written, from `${{` to `}}` (or to the end, where that is missing). */
  readonly written: string
  /** What stands between; null: it is not closed. */
  readonly name: string | null
}

const opening = '$' + '{{'
export const mentionsLookup = (text: string): boolean => text.includes(opening)

/** The look-ups of a text, in order. */
export const lookupsIn = (text: string): readonly Lookup[] =>
  [...text.matchAll(/\$\{\{(?:((?:(?!\$\{\{)[^}])*)\}\}|.*)/gs)].map(([written, name]) => ({
    written,
    name: name === undefined ? null : name.trim(),
  }))

export interface Refusal {
  readonly message: string
  readonly hint: string
}

const write = (name: string) => `${opening} ${name} }}`

/** Why a name cannot be looked up where these groups may stand; null: it can. */
export function refusal(name: string | null, allowed: readonly NameGroup[]): Refusal | null {
  const known = `known here: ${namesOf(allowed).join(', ')}`
  if (name === null) return { message: 'a look-up is not closed', hint: `write ${write('name')}; ${known}` }
  if (name === '') return { message: 'a look-up names nothing', hint: known }
  const group = groupOf(name)
  if (group !== null) {
    if (allowed.includes(group)) return null
    return { message: `${write(name)}: ${whyNot(group, allowed)}`, hint: known }
  }
  const [first = '', second = 'NAME'] = name.split('.')
  const simple = /^[A-Za-z_][\w-]*(\.[\w-]+)*$/.test(name)
  if (simple && (first === 'vars' || first === 'inputs'))
    return {
      message: `${write(name)}: ${first} of the workflow are not known in a manifest`,
      hint: `in the workflow give the action step \`env: {${second}: ${write(name)}}\`, here write \`${second}:\` without a value under env, and look up env.${second}`,
    }
  if (simple && first === 'secrets')
    return {
      message: `${write(name)}: a secret is not looked up, it would end up in texts that are shown`,
      hint: `in the workflow give the action step \`env: {${second}: ${write(name)}}\`, here list ${second} under secrets, and read $${second} in the script`,
    }
  if (simple && (first === 'github' || first === 'pull_request'))
    return {
      message: `${write(name)}: no such name; none exists whose value a stranger could choose, as branch, title or actor`,
      hint: known,
    }
  if (!simple)
    return {
      message: `${write(name)}: a look-up is one name, without functions and operators`,
      hint: known,
    }
  return { message: `${write(name)}: unknown name`, hint: suggestion(name, namesOf(allowed)) }
}

const whyNot = (group: NameGroup, allowed: readonly NameGroup[]): string =>
  group === 'release'
    ? 'the release is not known here'
    : group === 'env' || allowed.includes('server')
      ? 'a variable looks up none of its own kind'
      : 'no server is at hand here'

/** What a script reads in place of a look-up. */
export function scriptVariable(name: string | null): string {
  const fixed = name === null ? undefined : variables[name]
  if (fixed !== undefined) return `read $${fixed}`
  const [, free] = /^(?:env|server\.env)\.([A-Za-z_]\w*)$/.exec(name ?? '') ?? []
  if (free !== undefined) return `read $${free}`
  const [, context, wanted] = /^(secrets|vars|inputs)\.([A-Za-z_]\w*)$/.exec(name ?? '') ?? []
  if (wanted !== undefined)
    return context === 'secrets'
      ? `list ${wanted} under secrets and read $${wanted}`
      : `write \`${wanted}:\` without a value under env and read $${wanted}`
  if (name !== null && groupOf(name) !== null) {
    const own = name
      .toUpperCase()
      .replaceAll('.', '_')
      .replace(/^GITHUB_/, '')
    return `write \`${own}: ${write(name)}\` under env and read $${own}`
  }
  return 'read a variable: those of env and secrets, and DEPLOY_RELEASE, DEPLOY_SERVER and the others of the reference'
}

const variables: Readonly<Record<string, string>> = {
  application: 'DEPLOY_APPLICATION',
  environment: 'DEPLOY_ENVIRONMENT',
  'pull_request.number': 'DEPLOY_PULL_REQUEST',
  'release.id': 'DEPLOY_RELEASE',
  'release.path': 'DEPLOY_RELEASE_PATH',
  'release.sha': 'DEPLOY_SHA',
  'server.name': 'DEPLOY_SERVER',
  'server.host': 'DEPLOY_HOST',
}

export type Names = ReadonlyMap<string, string>

/**
 * The text with its look-ups replaced, once: what a value holds is not looked at again. Throws ManifestError for a name that is
 * unknown or empty.
 */
export function resolve(text: string, names: Names | Readonly<Record<string, string>>): string {
  const values: Names = names instanceof Map ? names : new Map(Object.entries(names))
  let rest = text
  let result = ''
  for (const { written, name } of lookupsIn(text)) {
    const at = rest.indexOf(written)
    const value = name === null ? undefined : values.get(name)
    if (value === undefined || value === '')
      throw new ManifestError(
        value === '' ? `${written}: its value is empty` : `${written}: there is no such value here`,
        [],
        { hint: `in "${text}"; known: ${[...values].flatMap(([n, v]) => (v === '' ? [] : [n])).join(', ')}` },
      )
    result += rest.slice(0, at) + value
    rest = rest.slice(at + written.length)
  }
  return result + rest
}

/** Every text of a value (a check, a step, `env`, a balancer's settings) with its look-ups replaced. Throws as `resolve`. */
export function resolveAll<T>(value: T, names: Names | Readonly<Record<string, string>>): T {
  const replaced = (v: unknown): unknown => {
    if (typeof v === 'string') return resolve(v, names)
    if (Array.isArray(v)) return v.map(replaced)
    if (typeof v === 'object' && v !== null)
      return Object.fromEntries(Object.entries(v).map(([name, inner]) => [name, replaced(inner)]))
    return v
  }
  return replaced(value) as T
}
