/**
 * The one definition of the manifest. Types, validation, JSON Schema and the reference page are made from it.
 * Contract: spec/manifest.md and spec/load-balancers.md. `environments` is not in here: it lies over the rest before this is applied.
 */
import { z } from 'zod'
import { balancer, type ProviderName } from './balancer-schema.ts'
import { check } from './check-schema.ts'
import { ofDeployment } from './lookup-names.ts'
import { rollout, type strategies } from './rollout-schema.ts'
import { type serverEntry, serverList, sshKeys } from './server-schema.ts'
import { migrate, shells, step, steps, variables } from './step-schema.ts'
import { integer, key, names, oneOrMany, oneOrManyIfAny, text, workspacePath } from './values.ts'

export { type ProviderName, providerNames, providers } from './balancer-schema.ts'
export { strategies } from './rollout-schema.ts'
export { serverEntry } from './server-schema.ts'
export { shells } from './step-schema.ts'

const strict = z.strictObject

export const webServers = ['puma', 'unicorn', 'passenger-enterprise', 'thin', 'passenger', 'other'] as const

/** Names of balancers and environments. */
export const name = () =>
  text().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'letters, digits, ".", "_" and "-" are expected, at most 63')

/** A path inside a release. */
const sharedPath = () =>
  text().refine(
    path => !path.startsWith('/') && !/(^|\/)\.{1,2}(\/|$)|\/\/|[\0-\x1f\x7f]/.test(path),
    'a path inside the release is expected, without "//", "." and ".."',
  )

const releaseKeys = {
  source: key(workspacePath().optional(), {
    description:
      'Directory or .tar, .tar.gz, .tgz, .tar.zst in the workspace; omitted: an empty directory that `prepare` fills.',
    example: 'dist',
  }),
  exclude: key(names(), { description: 'Globs left out; one without "/" matches at any depth.', example: ['*.map'] }),
  shared: key(oneOrMany(sharedPath()), {
    description:
      'Kept between releases and linked in; "/" at the end: a directory, made when missing; else a file that must be there.',
    example: ['log/', '.env'],
  }),
  keep: key(integer(1, 1000).prefault('5'), { description: 'How many good releases stay.' }),
}
/** A release directory may lie in one of these but not be it. */
const systemDirectories = new Set(
  [
    '',
    '/bin',
    '/boot',
    '/dev',
    '/etc',
    '/home',
    '/lib',
    '/lib64',
    '/media',
    '/mnt',
    '/opt',
    '/proc',
    '/root',
    '/run',
    '/sbin',
  ].concat(['/srv', '/sys', '/tmp', '/usr', '/var']),
)
const releasePath = () =>
  text()
    .regex(/^\//, 'an absolute path is expected')
    .regex(/^[^\0-\x1f\x7f]*$/, 'a path without control characters is expected')
    .transform(p => p.replace(/\/+$/, ''))
    .refine(p => !/\/(\.{0,2})(\/|$)/.test(p), 'a path without "//", "." and ".." is expected')
    .refine(p => !systemDirectories.has(p), 'a directory of its own is expected, not one of the system')
    .meta({ written: { type: 'string', pattern: '^/[^/]' }, kind: 'path' })

const release = () =>
  strict({
    path: key(releasePath(), {
      description: 'Holds releases/<id>, shared/ and current -> releases/<id>.',
      example: '/srv/storefront',
      lookups: ['deployment', 'env'],
    }),
    ...releaseKeys,
  })

/** A value of `env` looks up no other one: there would be an order to it, or a circle. */
const topEnv = ['deployment', 'release', 'server'] as const

const secretName = () => text().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'a variable is named with letters, digits and "_"')
const endsInNumber = /\$\{\{\s*pull_request\.number\s*\}\}$/

const previews = () =>
  strict({
    servers: key(
      serverList().refine(v => v.length > 0, 'at least one is expected'),
      { description: 'Where previews run.', example: ['preview1.example.com'], required: true },
    ),
    release: key(
      strict({
        path: key(
          releasePath().refine(p => endsInNumber.test(p), 'a path that ends in ${{ pull_request.number }} is expected'),
          {
            description: 'One directory per pull request; ends in its number.',
            example: '/srv/previews/pr-${{ pull_request.number }}',
            lookups: ['deployment', 'env'],
          },
        ),
        ...releaseKeys,
      }),
      { description: 'Where the releases of previews live.' },
    ),
    url: key(text().optional(), { description: "The preview's address.", lookups: ofDeployment }),
    limit: key(integer(1, 1000).prefault('20'), {
      description: 'The next one is refused, with the list of the others.',
    }),
    prepare: key(oneOrManyIfAny(step()), { description: 'In place of the manifest’s.' }),
    activate: key(oneOrManyIfAny(step()), { description: 'In place of the manifest’s.' }),
    verify: key(oneOrManyIfAny(check()), { description: 'In place of the manifest’s.' }),
    finalize: key(oneOrManyIfAny(step()), { description: 'In place of the manifest’s.' }),
    cleanup: key(oneOrManyIfAny(step()), { description: 'In place of the manifest’s.' }),
    teardown: key(steps(), { description: 'Runs when the pull request is closed, before the directory is removed.' }),
    env: key(variables(topEnv).prefault({}), { description: 'Further variables.' }),
    secrets: key(oneOrMany(secretName()), { description: 'Names of secrets, from the action step’s env.' }),
    shell: key(z.enum(shells).optional(), { description: 'In place of the manifest’s.' }),
    ssh: key(
      strict({
        ...sshKeys,
        known_hosts: key(workspacePath().optional(), { description: 'Committed known_hosts file.' }),
      }).optional(),
      { description: 'In place of the manifest’s.' },
    ),
  })

/** The manifest of one environment, after the overlay, as one object. */
export const manifestSchema = strict({
  application: key(text().regex(/^[a-z0-9-]{1,40}$/, 'a name of a-z, 0-9 and "-" is expected, at most 40'), {
    description: 'The name of what is deployed.',
    example: 'storefront',
  }),
  web_server: key(z.enum(webServers).prefault('other'), {
    description:
      'puma, unicorn and passenger-enterprise promise that `activate` refuses no request: parallel is the default then.',
  }),
  shell: key(z.enum(shells).prefault('bash'), {
    description: 'bash (run as bash -eu -o pipefail), sh (sh -eu), or bash -l.',
  }),
  ssh: key(
    strict({
      ...sshKeys,
      known_hosts: key(workspacePath().optional(), {
        description: 'Committed known_hosts file; the input ssh-known-hosts replaces it.',
        example: '.github/known_hosts',
      }),
    }).prefault({}),
    { description: 'Defaults for every server and balancer host.' },
  ),
  servers: key(serverList(), {
    description: 'A list, or the path of a YAML or JSON file with that list.',
    example: ['203.0.113.10'],
    orFile: true,
  }),
  release: key(release().optional(), {
    description: 'Where releases live; without it a deployment is its steps alone.',
  }),
  env: key(variables(topEnv).prefault({}), {
    description: 'Variables for every script.',
    example: { RAILS_ENV: 'production' },
  }),
  secrets: key(oneOrMany(secretName()), {
    description: 'Names, from the action step’s env; masked, redacted, only ever on stdin.',
    example: ['DATABASE_URL'],
  }),
  prepare: key(steps(), { description: 'Every server at once, still serving.' }),
  migrate: key(migrate().optional(), {
    description: 'Once per deployment, on one server, after prepare and before anything is switched.',
  }),
  activate: key(steps(), { description: 'Per server, after the switch; out of rotation under serial and rolling.' }),
  verify: key(oneOrMany(check()), { description: 'Per server, before it goes back.' }),
  finalize: key(steps(), { description: 'After everything succeeded.' }),
  cleanup: key(steps(), {
    description: 'Always, last, on every server that was reached; DEPLOY_RESULT says how it went.',
  }),
  rollout: key(rollout().prefault({}), { description: 'How the servers are gone through.' }),
  load_balancers: key(z.record(name(), balancer()).prefault({}), {
    description: 'The balancers in front of the servers, by name.',
  }),
  url: key(text().optional(), { description: 'Where the environment is reached.', lookups: ofDeployment }),
  previews: key(previews().optional(), { description: 'Deployments of pull requests.' }),
})

/** What a preview is made of: its own block, and the keys of the manifest that it takes over. */
export const previewSchema = strict({
  ...manifestSchema.pick({
    application: true,
    web_server: true,
    shell: true,
    ssh: true,
    env: true,
    prepare: true,
    activate: true,
    verify: true,
    finalize: true,
    cleanup: true,
    rollout: true,
  }).shape,
  release: strict(releaseKeys).optional(),
  previews: previews(),
})

export type ManifestKeys = z.output<typeof manifestSchema>
export type PreviewKeys = z.output<typeof previewSchema>
export type Step = ManifestKeys['prepare'][number]
export type Migration = NonNullable<ManifestKeys['migrate']>
export type Check = ManifestKeys['verify'][number]
export type HttpCheck = NonNullable<Check['http']>
export type Rollout = ManifestKeys['rollout']
export type Group = Rollout['groups'][number]
export type Hold = NonNullable<Rollout['hold']>
export type BalancerSettings = ManifestKeys['load_balancers'][string]
export type SettingsOf<N extends ProviderName> = Extract<BalancerSettings, { provider: N }>
export type ReleaseSettings = NonNullable<ManifestKeys['release']>
export type Shell = (typeof shells)[number]
export type Strategy = (typeof strategies)[number]
export type WebServer = (typeof webServers)[number]
export type ServerEntry = z.output<ReturnType<typeof serverEntry>>
