/** The names a `${{ }}` look-up may use, in groups: which groups may stand at a key is said in the schema. */

export type NameGroup = 'deployment' | 'release' | 'env' | 'server' | 'server.env'

/** Where one value holds for the whole deployment. */
export const ofDeployment: readonly NameGroup[] = ['deployment', 'release', 'env']
/** Where a server is at hand. */
export const perServer: readonly NameGroup[] = [...ofDeployment, 'server', 'server.env']

/** Names without a free part, by group. `release.path` is the release's own directory, as in DEPLOY_RELEASE_PATH. */
export const fixedNames = {
  deployment: ['application', 'environment', 'pull_request.number', 'github.run_id', 'github.repository'],
  release: ['release.id', 'release.path', 'release.sha'],
  env: [],
  server: ['server.name', 'server.host', 'server.id'],
  'server.env': [],
} as const satisfies Readonly<Record<NameGroup, readonly string[]>>

/** The group of a look-up's name; null: no such name exists. */
export function groupOf(name: string): NameGroup | null {
  if (/^env\.[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return 'env'
  if (/^server\.env\.[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return 'server.env'
  for (const group of ['deployment', 'release', 'server'] as const)
    if ((fixedNames[group] as readonly string[]).includes(name)) return group
  return null
}

/** The names of some groups as a person writes them. */
export const namesOf = (groups: readonly NameGroup[]): readonly string[] =>
  groups.flatMap(group =>
    group === 'env' ? ['env.<NAME>'] : group === 'server.env' ? ['server.env.<NAME>'] : fixedNames[group],
  )
