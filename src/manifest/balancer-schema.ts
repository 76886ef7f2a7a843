/** The keys of each load balancer provider. Contract: spec/load-balancers.md. */
import { z } from 'zod'
import { ofDeployment, perServer } from './lookup-names.ts'
import { serverList } from './server-schema.ts'
import { roleList, stepKeys } from './step-schema.ts'
import { always, duration, integer, key, names, share, text } from './values.ts'

const strict = z.strictObject

const balancerKeys = {
  roles: roleList('are behind it'),
  member: key(text().optional(), {
    description:
      'How a server is called there; default: `id` for a cloud, else the member of its name, else the one of its address.',
    example: '${{ server.name }}',
    lookups: perServer,
  }),
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
  min_in_service: key(share().optional(), {
    description: "Another number for this balancer than the rollout's.",
    example: 2,
  }),
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
  key(text(), { description: what, lookups: ofDeployment, ...(example === undefined ? {} : { example }) })
const many = (what: string, example?: unknown) =>
  key(
    names().refine(v => v.length > 0, 'at least one is expected'),
    { description: what, required: true, ...(example === undefined ? {} : { example }) },
  )
const script = (what: string) =>
  key(text(), { description: `${what} Never interpolated: it reads environment variables.`, script: true })
const hostFacts = { description: "The balancer's own hosts, in the form of `servers`.", example: ['10.0.0.2'] }
const hosts = () =>
  key(
    serverList().refine(v => v.length > 0, 'at least one is expected'),
    { ...hostFacts, required: true },
  )

const onLoopback = '127.0.0.1:PORT or unix//PATH is expected: a port or socket of the host itself'

const provider = <N extends string, S extends z.ZodRawShape>(providerName: N, shape: S) =>
  strict({ provider: z.literal(providerName), ...balancerKeys, ...shape })

export const providers = {
  haproxy: provider('haproxy', {
    backends: many('The backends the servers stand in.', ['storefront']),
    hosts: key(serverList(), hostFacts),
    socket: key(text().startsWith('/').prefault('/run/haproxy/admin.sock'), {
      description: 'The admin socket on those hosts.',
    }),
    address: key(
      text()
        .regex(/^tcp:\/\/[^/]+:\d+$/, 'tcp://host:port is expected')
        .optional(),
      { description: 'The admin socket over TCP, instead of hosts.', example: 'tcp://10.0.0.2:9999' },
    ),
  }).refine(
    h => typeof h !== 'object' || !Array.isArray(h.hosts) || h.hosts.length > 0 !== (h.address !== undefined),
    always('exactly one of hosts and address is expected', 'hosts: reached over SSH; address: a socket over TCP'),
  ),
  nginx: provider('nginx', {
    hosts: hosts(),
    file: one("The upstream's include file.", '/etc/nginx/upstream.d/app.conf'),
    reload: script('Reloads nginx.').optional(),
    become: stepKeys.become,
  }),
  caddy: provider('caddy', {
    hosts: hosts(),
    admin: key(
      text()
        .regex(/^((127\.0\.0\.1|localhost)?:\d+|unix\/\/.+)$/, onLoopback)
        .prefault('127.0.0.1:2019'),
      {
        description: 'The admin address on those hosts.',
      },
    ),
    id: one('The @id of the reverse_proxy handler.', 'app'),
  }),
  apache: provider('apache', {
    hosts: hosts(),
    balancer: one('The balancer, as in balancer://name.', 'app'),
    path: key(text().startsWith('/').prefault('/balancer-manager'), {
      description: 'Where the balancer-manager answers.',
    }),
    admin: key(
      text()
        .regex(/^((127\.0\.0\.1|localhost)?:\d+|unix\/\/.+)$/, onLoopback)
        .prefault('127.0.0.1:80'),
      {
        description: 'The address on those hosts at which it answers, in plain HTTP.',
      },
    ),
    virtual_host: key(text().optional(), {
      description: "The Host header: the name of Apache's virtual host that has the balancer.",
      example: 'shop.example.com',
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
    g => typeof g !== 'object' || (g.instance_group === undefined) !== (g.network_endpoint_group === undefined),
    always('exactly one of instance_group and network_endpoint_group is expected', 'keep the one the servers are in'),
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
    path: key(text(), { description: 'The file on the server.', example: '/srv/app/health', lookups: perServer }),
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

export const balancer = () =>
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
