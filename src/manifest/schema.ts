/**
 * The one definition of the manifest. Types, validation, JSON Schema and the reference page are made from it.
 * Contract: spec/manifest.md and spec/load-balancers.md.
 */
import { z } from 'zod'
import { bool, duration, integer, key, names, oneOrMany, share, text } from './values.ts'

const strict = z.strictObject

export const shells = ['bash', 'sh', 'bash -l'] as const
export const strategies = ['serial', 'parallel', 'rolling'] as const
export const webServers = ['puma', 'unicorn', 'passenger-enterprise', 'thin', 'passenger', 'other'] as const

const name = () =>
  text().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'letters, digits, ".", "_" and "-" are expected, at most 63')
const roleList = (what: string) =>
  key(names(), { description: `Roles that ${what}; none named: all.`, example: ['web'] })

/** Variables: a value, or null for "from the action step's own environment". */
const variables = () =>
  z.record(
    text().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'a variable is named with letters, digits and "_"'),
    key(z.string().nullable(), {
      description: "A value; without one, the variable of the action step's env.",
      lookups: true,
    }),
  )

// ---- steps -------------------------------------------------------------------------------------------------------------

const retry = () =>
  z.union([
    integer(1, 100).transform(attempts => ({ attempts, delay: 1 })),
    strict({
      attempts: key(integer(1, 100), { description: 'How often the step is tried in all.', example: 3 }),
      delay: key(duration().prefault('1s'), {
        description: 'Wait before the second try; doubles after that, with jitter.',
      }),
    }),
  ])

const stepKeys = {
  run: key(text(), {
    description: 'The script. A non-zero exit fails the step. Never interpolated: it reads environment variables.',
    example: 'sudo systemctl restart app',
  }),
  name: key(text().optional(), { description: "Shown everywhere; default: the script's first line." }),
  roles: roleList('the step runs on'),
  servers: key(names(), {
    description: 'Servers the step runs on, by name or glob; none named: all.',
    example: ['web1'],
  }),
  environments: key(names(), {
    description: 'Environments the step runs in; none named: all.',
    example: ['production'],
  }),
  once: key(bool().prefault('false'), { description: 'On the first of those servers only.' }),
  with_previous: key(bool().prefault('false'), { description: 'Starts together with the step before it.' }),
  env: key(variables().prefault({}), {
    description: 'Variables for this step alone.',
    example: { RAILS_ENV: 'production' },
  }),
  shell: key(z.enum(shells).optional(), { description: 'Another shell than the manifest names.' }),
  working_directory: key(text().optional(), {
    description: "Where the script starts; default: the release directory, without `release` the user's home.",
    lookups: true,
  }),
  become: key(
    text()
      .regex(/^[a-z_][a-z0-9_-]*\$?$/i, 'a user name is expected')
      .optional(),
    { description: 'Another user, by `sudo -n -u`; needs NOPASSWD.', example: 'app' },
  ),
  timeout: key(duration().prefault('30m'), {
    description: 'After this the remote process group is ended and the step has failed.',
  }),
  retry: key(retry().optional(), {
    description: 'Tries in all, or {attempts, delay}; the delay doubles, with jitter.',
    example: 3,
  }),
  continue_on_error: key(bool().prefault('false'), { description: 'A failure is reported and does not count.' }),
}

const firstLine = (script: string) => script.trim().split('\n')[0]?.slice(0, 80) ?? ''

/** A step; it may be written as just its script. */
const step = () =>
  z.preprocess(
    v => (typeof v === 'string' ? { run: v } : v),
    strict(stepKeys).transform(s => ({ ...s, name: s.name ?? firstLine(s.run) })),
  )
const steps = () => oneOrMany(step())

const migrate = () =>
  z.preprocess(
    v => (typeof v === 'string' ? { run: v } : v),
    strict({
      run: stepKeys.run,
      name: stepKeys.name,
      roles: key(names(), {
        description: 'The migration runs on the first server with one of these; default: the first server.',
        example: ['db'],
      }),
      paths: key(names(), {
        description: 'If named: enabled only when these changed since the deployed commit.',
        example: ['db/migrate/'],
      }),
      env: stepKeys.env,
      shell: stepKeys.shell,
      working_directory: stepKeys.working_directory,
      become: stepKeys.become,
      timeout: key(duration().prefault('1h'), { description: 'How long the migration may take.' }),
    }).transform(m => ({ ...m, name: m.name ?? firstLine(m.run) })),
  )

// ---- checks ------------------------------------------------------------------------------------------------------------

const statusRange = () =>
  z
    .string()
    .regex(/^[1-5]\d\d(-[1-5]\d\d)?$/, 'a status or a range is expected: 200 or 200-299')
    .transform(v => {
      const [from = '', to = from] = v.split('-')
      return { from: Number(from), to: Number(to) }
    })
    .meta({ written: { anyOf: [{ type: 'integer' }, { type: 'string', pattern: '^[1-5]\\d\\d(-[1-5]\\d\\d)?$' }] } })

const http = () =>
  strict({
    port: key(integer(1, 65535).prefault('80'), {
      description: 'Port on the server, reached at 127.0.0.1 through the SSH connection.',
      example: 3000,
    }),
    path: key(text().startsWith('/').prefault('/'), {
      description: 'What is asked for.',
      example: '/up',
      lookups: true,
    }),
    scheme: key(z.enum(['http', 'https']).prefault('http'), {
      description: 'http or https; a certificate is checked against `host`.',
    }),
    host: key(text().optional(), { description: 'The Host header; default: localhost.', lookups: true }),
    method: key(z.enum(['GET', 'HEAD']).prefault('GET'), { description: 'GET or HEAD.' }),
    headers: key(z.record(text(), key(z.string(), { description: 'A header to send.', lookups: true })).prefault({}), {
      description: 'Further headers.',
    }),
    follow_redirects: key(bool().prefault('false'), { description: 'Follow redirects, never to another host.' }),
    expect: key(
      strict({
        status: key(
          oneOrMany(statusRange()).transform(v => (v.length ? v : [{ from: 200, to: 299 }])),
          { description: 'Statuses or ranges; default 200-299.', example: ['200-299'] },
        ),
        header: key(
          z
            .record(text(), key(z.string(), { description: 'The value a response header must have.', lookups: true }))
            .prefault({}),
          { description: 'Headers the answer must carry.' },
        ),
        body: key(text().optional(), { description: 'Text the body must contain.', lookups: true }),
      }).prefault({}),
      { description: 'What counts as good.' },
    ),
  })

const checkKeys = {
  http: key(http().optional(), { description: 'An HTTP request.' }),
  tcp: key(strict({ port: key(integer(1, 65535), { description: 'Port on the server.', example: 3000 }) }).optional(), {
    description: 'A connection that is accepted.',
  }),
  command: key(text().optional(), { description: 'A script on the server that exits 0. Never interpolated.' }),
  interval: key(duration().prefault('1s'), { description: 'Between two tries.' }),
  request_timeout: key(duration().prefault('5s'), { description: 'For one try.' }),
  timeout: key(duration().prefault('30s'), { description: 'For the whole check.' }),
  healthy_for: key(duration().prefault('0s'), { description: 'The check must stay good this long.' }),
}
const exactlyOne = (c: { http?: unknown; tcp?: unknown; command?: unknown }) =>
  [c.http, c.tcp, c.command].filter(v => v !== undefined).length === 1
const oneKind = 'a check has exactly one of http, tcp and command'

const check = () => strict({ roles: roleList('are checked'), ...checkKeys }).refine(exactlyOne, oneKind)

// ---- servers -----------------------------------------------------------------------------------------------------------

const sshKeys = {
  user: key(text().optional(), { description: 'The user to log in as.', example: 'deploy' }),
  port: key(integer(1, 65535).optional(), { description: 'The SSH port; default 22.' }),
  bastion: key(text().optional(), {
    description: 'user@host:port to go through; several: a,b.',
    example: 'jump@bastion.example.com',
  }),
  connect_timeout: key(duration().optional(), {
    description: 'For the TCP connection and, again, for the handshake; default 10s.',
  }),
  keepalive: key(duration().optional(), {
    description: 'Between two signs of life on an idle connection; default 15s.',
  }),
}

/** A server as written: a host, or an object. Ranges are expanded later. */
export const serverEntry = () =>
  z.preprocess(
    v => (typeof v === 'string' ? { host: v } : v),
    strict({
      name: key(text().optional(), {
        description: 'Shown everywhere; default: the host. A range makes several: web[01-20].',
        example: 'web[01-20]',
      }),
      host: key(text(), {
        description: '[user@]host[:port]; a range makes several: 10.0.0.[11-30].',
        example: '10.0.0.[11-30]',
      }),
      roles: key(names(), { description: 'What the server is for.', example: ['web'] }),
      id: key(text().optional(), {
        description: 'What a cloud balancer calls it, where that is not its address.',
        example: 'i-0abc',
      }),
      host_key: key(names(), {
        description: 'Its public host key or keys, instead of a known_hosts line.',
        example: 'ssh-ed25519 AAAA…',
      }),
      env: key(variables().prefault({}), {
        description: 'Variables for every script on this server.',
        example: { PORT: '3000' },
      }),
      ...sshKeys,
    }),
  )
const serverList = () => oneOrMany(serverEntry())

// ---- load balancers ----------------------------------------------------------------------------------------------------

const balancerKeys = {
  roles: roleList('are behind it'),
  wait_after_removing_servers: key(
    duration()
      .refine(s => s <= 3600, 'at most 1h is expected')
      .optional(),
    { description: 'Seconds to wait after a server is drained, before anything on it is changed.', example: 10 },
  ),
  wait_after_adding_servers: key(
    duration()
      .refine(s => s <= 3600, 'at most 1h is expected')
      .optional(),
    { description: 'Seconds to wait after a server serves again.', example: 5 },
  ),
  drain_timeout: key(duration().optional(), {
    description: "From the removal until drained; default: the balancer's longest drain + 60 s, else 60 s.",
  }),
  on_drain_timeout: key(z.enum(['continue', 'force', 'fail']).prefault('continue'), {
    description: 'What to do when only old connections are left at drain_timeout.',
  }),
  add_timeout: key(duration().optional(), {
    description: 'Until the server serves again; default: interval × threshold + slow start + 60 s, else 120 s.',
  }),
  min_in_service: key(share().optional(), { description: "Another number for this balancer than the rollout's." }),
  confirm: key(
    strict({
      port: key(integer(1, 65535).optional(), { description: "The application's port on the server." }),
      quiet_for: key(duration().optional(), {
        description: 'No connection on that port carried data for so long.',
        example: '2s',
      }),
      traffic_within: key(duration().optional(), {
        description: 'After adding: warn when no traffic came within this time.',
        example: '60s',
      }),
    }).optional(),
    { description: 'Watch the lag itself, from the server.' },
  ),
}

const one = (what: string, example?: unknown) =>
  key(text(), { description: what, lookups: true, ...(example === undefined ? {} : { example }) })
const many = (what: string, example?: unknown) =>
  key(
    names().refine(v => v.length > 0, 'at least one is expected'),
    { description: what, ...(example === undefined ? {} : { example }) },
  )
const script = (what: string) =>
  key(text(), { description: `${what} Never interpolated: it reads environment variables.` })
const hosts = () =>
  key(serverList(), { description: "The balancer's own hosts, in the form of `servers`.", example: ['10.0.0.2'] })

const provider = <N extends string, S extends z.ZodRawShape>(providerName: N, shape: S) =>
  strict({ provider: z.literal(providerName), ...balancerKeys, ...shape })

export const providers = {
  haproxy: provider('haproxy', {
    backends: many('The backends the servers stand in.', ['storefront']),
    hosts: hosts(),
    socket: key(text().startsWith('/').prefault('/run/haproxy/admin.sock'), {
      description: 'The admin socket on those hosts.',
    }),
    address: key(
      text()
        .regex(/^tcp:\/\/[^/]+:\d+$/, 'tcp://host:port is expected')
        .optional(),
      { description: 'The admin socket over TCP, instead of hosts.', example: 'tcp://10.0.0.2:9999' },
    ),
  }),
  nginx: provider('nginx', {
    hosts: hosts(),
    file: one("The upstream's include file.", '/etc/nginx/upstream.d/app.conf'),
    reload: script('Reloads nginx.').optional(),
    become: stepKeys.become,
  }),
  caddy: provider('caddy', {
    hosts: hosts(),
    admin: key(text().prefault('127.0.0.1:2019'), { description: 'The admin address on those hosts.' }),
    id: one('The @id of the reverse_proxy handler.', 'app'),
  }),
  apache: provider('apache', {
    hosts: hosts(),
    balancer: one('The balancer, as in balancer://name.', 'app'),
    path: key(text().startsWith('/').prefault('/balancer-manager'), {
      description: 'Where the balancer-manager answers.',
    }),
  }),
  'aws-target-group': provider('aws-target-group', {
    target_groups: many('ARNs of the target groups; they hold the region.'),
  }),
  'aws-classic': provider('aws-classic', {
    load_balancers: many('Names of the classic load balancers.'),
    region: one('The region.', 'eu-west-1'),
  }),
  gcp: provider('gcp', {
    instance_group: one('The unmanaged instance group.').optional(),
    network_endpoint_group: one('The zonal network endpoint group.').optional(),
    backend_service: one('The backend service.'),
    project: one('The project.'),
    zone: one('The zone.', 'europe-west1-b'),
  }).refine(
    g => (g.instance_group === undefined) !== (g.network_endpoint_group === undefined),
    'exactly one of instance_group and network_endpoint_group is expected',
  ),
  azure: provider('azure', { backend_pool: one('The resource id of the backend address pool.') }),
  digitalocean: provider('digitalocean', { load_balancer: one('The id of the load balancer.') }),
  hetzner: provider('hetzner', { load_balancer: one('The id of the load balancer.') }),
  linode: provider('linode', {
    nodebalancer: one('The id of the NodeBalancer.'),
    configs: many('The ids of its configs.'),
  }),
  cloudflare: provider('cloudflare', { account: one('The account id.'), pools: many('The ids of the pools.') }),
  'health-file': provider('health-file', {
    path: one('The file on the server.', '/srv/app/health'),
    down_when: key(z.enum(['absent', 'present']).prefault('absent'), {
      description: 'When the balancer takes the server for down.',
    }),
    detect: key(duration(), {
      description: 'How long the balancer takes to notice: interval × threshold.',
      example: 5,
    }),
  }),
  command: provider('command', {
    remove: script('Takes the server out.'),
    drained: script('Exits 0 when the server is drained; polled.'),
    add: script('Puts the server back.'),
    serving: script('Exits 0 when the server serves; polled.'),
    on: key(z.enum(['runner', 'server']).prefault('runner'), { description: 'Where the scripts run.' }),
  }),
} as const

export type ProviderName = keyof typeof providers
export const providerNames = Object.keys(providers) as ProviderName[]

const balancer = () =>
  z.discriminatedUnion('provider', [
    providers.haproxy,
    providers.nginx,
    providers.caddy,
    providers.apache,
    providers['aws-target-group'],
    providers['aws-classic'],
    providers.gcp,
    providers.azure,
    providers.digitalocean,
    providers.hetzner,
    providers.linode,
    providers.cloudflare,
    providers['health-file'],
    providers.command,
  ])

// ---- rollout -----------------------------------------------------------------------------------------------------------

const batch = () => oneOrMany(share())
const hold = () =>
  z.union([
    duration().transform(seconds => ({ for: seconds, check: undefined })),
    strict({
      for: key(duration(), { description: 'How long the servers done must stay good.', example: '5m' }),
      check: key(strict(checkKeys).refine(exactlyOne, oneKind).optional(), {
        description: 'A check of its own, in place of verify.',
      }),
    }),
  ])

const group = () =>
  strict({
    roles: many('The servers of this group.', ['web']),
    strategy: key(z.enum(strategies).optional(), { description: "Another strategy than the rollout's." }),
    batch: key(batch().optional(), { description: 'Stage sizes of this group.' }),
    hold: key(hold().optional(), { description: 'Between the stages of this group.' }),
  })

const rollout = () =>
  strict({
    strategy: key(z.enum(strategies).optional(), {
      description:
        'serial, parallel or rolling; default: parallel for puma, unicorn and passenger-enterprise, else serial.',
    }),
    batch: key(batch().optional(), {
      description: 'rolling: stage sizes, the last repeats; default [50%, 100%].',
      example: [1, '25%', '100%'],
    }),
    hold: key(hold().optional(), {
      description: 'rolling: between stages, servers done must stay verified this long.',
      example: '30s',
    }),
    min_in_service: key(share().prefault('1'), { description: 'Per balancer: never fewer in rotation because of us.' }),
    max_parallelism: key(integer(1, 10_000).prefault('10'), {
      description: 'Step runs at any one time, the whole deployment over.',
    }),
    concurrent_steps: key(bool().prefault('false'), { description: 'More than one step at a time on one server.' }),
    on_failure: key(z.enum(['stop', 'rollback']).prefault('stop'), {
      description: 'What happens to servers switched when the deployment fails.',
    }),
    max_failures: key(
      share()
        .refine(s => !('count' in s) || s.count >= 1, 'at least 1 is expected')
        .prefault('1'),
      { description: 'Reached: no new server starts; 100%: go on to the end.' },
    ),
    unreachable: key(z.enum(['fail', 'skip']).prefault('fail'), {
      description: 'Servers that cannot be reached in preflight; never for a host-key or authentication failure.',
    }),
    lock_wait: key(duration().prefault('0s'), {
      description: 'How long to wait for a lock that another deployment holds.',
    }),
    groups: key(oneOrMany(group()), { description: 'One after the other; servers of no group come last.' }),
  })

// ---- the whole ---------------------------------------------------------------------------------------------------------

const releaseKeys = {
  source: key(text().optional(), {
    description:
      'Directory or .tar, .tar.gz, .tgz, .tar.zst in the workspace; omitted: an empty directory that `prepare` fills.',
    example: 'dist',
  }),
  exclude: key(names(), { description: 'Globs left out; one without "/" matches at any depth.', example: ['*.map'] }),
  shared: key(names(), {
    description:
      'Kept between releases and linked in; "/" at the end: a directory, made when missing; else a file that must be there.',
    example: ['log/', '.env'],
  }),
  keep: key(integer(1, 1000).prefault('5'), { description: 'How many good releases stay.' }),
}
const releasePath = () =>
  text()
    .regex(/^\/[^\0\n]*$/, 'an absolute path is expected')
    .refine(p => !p.split('/').includes('..'), 'a path without ".." is expected')

const release = () =>
  strict({
    path: key(releasePath(), {
      description: 'Holds releases/<id>, shared/ and current -> releases/<id>.',
      example: '/srv/storefront',
      lookups: true,
    }),
    ...releaseKeys,
  })

const previews = () =>
  strict({
    servers: key(serverList(), { description: 'Where previews run.', example: ['preview1.example.com'] }),
    release: strict({
      path: key(releasePath(), {
        description: 'One directory per pull request; ends in its number.',
        example: '/srv/previews/pr-${{ pull_request.number }}',
        lookups: true,
      }),
      source: releaseKeys.source,
      exclude: releaseKeys.exclude,
      shared: releaseKeys.shared,
      keep: releaseKeys.keep,
    }),
    url: key(text().optional(), { description: "The preview's address.", lookups: true }),
    limit: key(integer(1, 1000).prefault('20'), {
      description: 'The next one is refused, with the list of the others.',
    }),
    prepare: key(steps().optional(), { description: 'In place of the manifest’s.' }),
    activate: key(steps().optional(), { description: 'In place of the manifest’s.' }),
    verify: key(oneOrMany(check()).optional(), { description: 'In place of the manifest’s.' }),
    finalize: key(steps().optional(), { description: 'In place of the manifest’s.' }),
    cleanup: key(steps().optional(), { description: 'In place of the manifest’s.' }),
    teardown: key(steps(), { description: 'Runs when the pull request is closed, before the directory is removed.' }),
    env: key(variables().prefault({}), { description: 'Further variables.' }),
    secrets: key(names(), { description: 'Names of secrets, from the action step’s env.' }),
    shell: key(z.enum(shells).optional(), { description: 'In place of the manifest’s.' }),
    ssh: key(
      strict({
        ...sshKeys,
        known_hosts: key(text().optional(), { description: 'Committed known_hosts file.' }),
      }).optional(),
      { description: 'In place of the manifest’s.' },
    ),
  })

const secretName = () => text().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'a variable is named with letters, digits and "_"')

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
      known_hosts: key(text().optional(), {
        description: 'Committed known_hosts file; the input ssh-known-hosts replaces it.',
        example: '.github/known_hosts',
      }),
    }).prefault({}),
    { description: 'Defaults for every server and balancer host.' },
  ),
  servers: key(z.union([text().transform(file => [{ file }]), serverList()]).optional(), {
    description: 'A list, or the path of a YAML or JSON file with that list.',
  }),
  release: key(release().optional(), {
    description: 'Where releases live; without it a deployment is its steps alone.',
  }),
  env: key(variables().prefault({}), {
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
  url: key(text().optional(), { description: 'Where the environment is reached.', lookups: true }),
  previews: key(previews().optional(), { description: 'Deployments of pull requests.' }),
})

export type ManifestKeys = z.output<typeof manifestSchema>
export type Step = ManifestKeys['prepare'][number]
export type Migration = NonNullable<ManifestKeys['migrate']>
export type Check = ManifestKeys['verify'][number]
export type HttpCheck = NonNullable<Check['http']>
export type Rollout = ManifestKeys['rollout']
export type Group = Rollout['groups'][number]
export type BalancerSettings = ManifestKeys['load_balancers'][string]
export type SettingsOf<N extends ProviderName> = Extract<BalancerSettings, { provider: N }>
export type ReleaseSettings = NonNullable<ManifestKeys['release']>
export type Shell = (typeof shells)[number]
export type Strategy = (typeof strategies)[number]
export type WebServer = (typeof webServers)[number]
export type ServerEntry = z.output<ReturnType<typeof serverEntry>>
