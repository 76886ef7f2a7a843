/** Rules that hold between keys of one environment's manifest. Each looks only at keys that could be read. */
import picomatch from 'picomatch'
import type { Server } from './manifest.ts'
import { suggestion } from './nearest.ts'
import type { Path } from './node.ts'
import { pathText } from './node.ts'
import { plainHost } from './preview-path.ts'
import type { Finding } from './problems.ts'
import type { ManifestKeys, Step } from './schema.ts'

/** What is known of all environments together. */
export interface Surroundings {
  readonly environments: readonly string[]
  /** null: the servers of an environment could not be read, so nothing can be said. */
  readonly names: ReadonlySet<string> | null
  readonly roles: ReadonlySet<string> | null
}

export type Keys = Partial<ManifestKeys>

const at = (path: Path, message: string, hint: string, on: Finding['on'] = 'value'): Finding => ({
  path,
  on,
  message: `${pathText(path)}: ${message}`,
  hint,
})

const phases = ['prepare', 'activate', 'finalize', 'cleanup'] as const
const previewPhases = [...phases, 'teardown'] as const

/** Every list of steps with its path. */
const stepLists = ({ previews, ...keys }: Keys): readonly { path: Path; steps: readonly Step[] }[] => [
  ...phases.map(phase => ({ path: [phase], steps: keys[phase] ?? [] })),
  ...previewPhases.map(phase => ({ path: ['previews', phase], steps: previews?.[phase] ?? [] })),
]

/** Every rule that needs no more than the keys and what is known of the environments. */
export const crossFindings = (keys: Keys, around: Surroundings): readonly Finding[] => [
  ...roleFindings(keys, around),
  ...stepFindings(keys, around),
  ...groupFindings(keys),
  ...variableFindings(keys),
  ...sharedFindings(keys),
]

function roleFindings(keys: Keys, { roles }: Surroundings): readonly Finding[] {
  if (roles === null) return []
  const used: readonly { path: Path; roles: readonly string[] }[] = [
    ...stepLists(keys).flatMap(({ path, steps }) => steps.map((s, i) => ({ path: [...path, i], roles: s.roles }))),
    ...(keys.migrate ? [{ path: ['migrate'], roles: keys.migrate.roles }] : []),
    ...(keys.verify ?? []).map((c, i) => ({ path: ['verify', i], roles: c.roles })),
    ...(keys.previews?.verify ?? []).map((c, i) => ({ path: ['previews', 'verify', i], roles: c.roles })),
    ...(keys.rollout?.groups ?? []).map((g, i) => ({ path: ['rollout', 'groups', i], roles: g.roles })),
    ...Object.entries(keys.load_balancers ?? {}).map(([name, b]) => ({
      path: ['load_balancers', name],
      roles: b.roles,
    })),
  ]
  return used.flatMap(({ path, roles: wanted }) =>
    wanted.flatMap((role, i) =>
      roles.has(role)
        ? []
        : [at([...path, 'roles', i], `no server has the role "${role}" in any environment`, rolesHint(role, roles))],
    ),
  )
}

const rolesHint = (role: string, roles: ReadonlySet<string>) =>
  roles.size > 0 ? suggestion(role, [...roles]) : `give a server roles: [${role}]`

function stepFindings(keys: Keys, { names, environments }: Surroundings): readonly Finding[] {
  return stepLists(keys).flatMap(({ path, steps }) => [
    ...(steps[0]?.with_previous
      ? [
          at(
            [...path, 0, 'with_previous'],
            'there is no step before the first one',
            'remove it, or put a step before it',
            'key',
          ),
        ]
      : []),
    ...steps.flatMap((step, i) => [
      ...step.servers.flatMap((pattern, j) =>
        names === null || names.has(pattern) || [...names].some(n => picomatch.isMatch(n, pattern))
          ? []
          : [
              at(
                [...path, i, 'servers', j],
                `no server is called "${pattern}"`,
                suggestion(pattern, [...names].slice(0, 50)),
              ),
            ],
      ),
      ...step.environments.flatMap((name, j) =>
        environments.includes(name)
          ? []
          : [
              at(
                [...path, i, 'environments', j],
                `there is no environment "${name}"`,
                environments.length > 0 ? suggestion(name, environments) : 'the manifest has no `environments`',
              ),
            ],
      ),
    ]),
  ])
}

function groupFindings({ rollout }: Keys): readonly Finding[] {
  const first = new Map<string, number>()
  return (rollout?.groups ?? []).flatMap((group, i) =>
    group.roles.flatMap((role, j) => {
      const before = first.get(role)
      if (before === undefined) first.set(role, i)
      return before === undefined || before === i
        ? []
        : [
            at(
              ['rollout', 'groups', i, 'roles', j],
              `the role "${role}" is in an earlier group`,
              'a role is in one group',
            ),
          ]
    }),
  )
}

/** Names the runner or this program sets itself: a value of ours there would be lost, or would change what other steps see. */
const reserved = /^(DEPLOY|GITHUB|RUNNER|ACTIONS|INPUT)_/i

function variableFindings(keys: Keys): readonly Finding[] {
  const blocks: readonly { path: Path; env: Readonly<Record<string, unknown>> }[] = [
    { path: ['env'], env: keys.env ?? {} },
    { path: ['migrate', 'env'], env: keys.migrate?.env ?? {} },
    { path: ['previews', 'env'], env: keys.previews?.env ?? {} },
    ...stepLists(keys).flatMap(({ path, steps }) => steps.map((s, i) => ({ path: [...path, i, 'env'], env: s.env }))),
    ...(keys.servers ?? []).map((s, i) => ({ path: ['servers', i, 'env'], env: s.env })),
    ...(keys.previews?.servers ?? []).map((s, i) => ({ path: ['previews', 'servers', i, 'env'], env: s.env })),
  ]
  const secrets = [
    { path: ['secrets'], names: keys.secrets ?? [] },
    { path: ['previews', 'secrets'], names: keys.previews?.secrets ?? [] },
  ] as const
  const all = new Set(secrets.flatMap(s => s.names))
  const taken = (name: string) =>
    `${name} is not free: names with DEPLOY_, GITHUB_, RUNNER_, ACTIONS_ and INPUT_ are set by others`
  return [
    ...blocks.flatMap(({ path, env }) =>
      Object.keys(env).flatMap(name => [
        ...(reserved.test(name) ? [at([...path, name], taken(name), 'choose another name', 'key')] : []),
        ...(all.has(name)
          ? [
              at(
                [...path, name],
                'a secret has the same name and would win',
                'keep it in one of env and secrets',
                'key',
              ),
            ]
          : []),
      ]),
    ),
    ...secrets.flatMap(({ path, names }) =>
      names.flatMap((name, i) => [
        ...(reserved.test(name) ? [at([...path, i], taken(name), 'choose another name')] : []),
        ...(names.indexOf(name) < i ? [at([...path, i], `${name} is named twice`, 'remove one')] : []),
      ]),
    ),
  ]
}

function sharedFindings({ release, previews }: Keys): readonly Finding[] {
  const lists: readonly { path: Path; values: readonly string[] }[] = [
    { path: ['release', 'shared'], values: release?.shared ?? [] },
    { path: ['previews', 'release', 'shared'], values: previews?.release.shared ?? [] },
  ]
  return lists.flatMap(({ path, values }) =>
    values.flatMap((value, i) => {
      const one = bare(value)
      const other = values
        .slice(0, i)
        .find(b => bare(b) === one || one.startsWith(`${bare(b)}/`) || bare(b).startsWith(`${one}/`))
      return other === undefined
        ? []
        : [at([...path, i], `"${value}" and "${other}" are the same or lie inside each other`, 'keep the outer one')]
    }),
  )
}

const bare = (path: string) => path.replace(/\/+$/, '')

/** A preview runs code from a pull request: who logs in as an environment's user there could change the environment. */
export const previewFindings = (
  previews: readonly Server[],
  others: ReadonlyMap<string, readonly Server[]>,
): readonly Finding[] =>
  previews.flatMap(preview => {
    const found = [...others].find(([, servers]) =>
      servers.some(s => plainHost(s.host) === plainHost(preview.host) && s.user === preview.user),
    )
    return found === undefined
      ? []
      : [
          at(
            ['previews', 'servers'],
            `previews log in to ${preview.host} as ${preview.user}, and so does ${found[0]}`,
            'give previews a user or a host of their own',
            'key',
          ),
        ]
  })
