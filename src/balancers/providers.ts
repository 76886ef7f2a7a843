/** The table of providers. A new one is one file, one row here and one entry in the contract tests. */
import { NotSupportedError } from '../errors.ts'
import type { Balancer, BalancerOf, Manifest } from '../manifest/manifest.ts'
import { apache } from './apache.ts'
import { awsClassic } from './aws-classic.ts'
import { awsTargetGroup } from './aws-target-group.ts'
import { azure } from './azure.ts'
import type { LoadBalancer } from './balancer.ts'
import { caddy } from './caddy.ts'
import { cloudflare } from './cloudflare.ts'
import { type CommandDeps, command } from './command.ts'
import { digitalocean } from './digitalocean.ts'
import { gcp } from './gcp.ts'
import { type HaproxyDeps, haproxy } from './haproxy.ts'
import { healthFile } from './health-file.ts'
import { hetzner } from './hetzner.ts'
import { linode } from './linode.ts'
import { nginx } from './nginx.ts'

export type BalancerDeps = HaproxyDeps & CommandDeps

type ProviderName = Balancer['provider']
type Build<N extends ProviderName> = (name: string, settings: BalancerOf<N>, deps: BalancerDeps) => LoadBalancer

const isOf = <N extends ProviderName>(settings: Balancer, provider: N): settings is BalancerOf<N> =>
  settings.provider === provider

/** Builds the balancer where the settings are of this provider. */
const row = <N extends ProviderName>(provider: N, build: Build<N>) => ({
  provider,
  build: (name: string, settings: Balancer, deps: BalancerDeps): LoadBalancer | undefined =>
    isOf(settings, provider) ? build(name, settings, deps) : undefined,
})

const providers = [
  row('haproxy', haproxy),
  row('command', command),
  row('nginx', nginx),
  row('apache', apache),
  row('caddy', caddy),
  row('health-file', healthFile),
  row('aws-target-group', awsTargetGroup),
  row('aws-classic', awsClassic),
  row('digitalocean', digitalocean),
  row('hetzner', hetzner),
  row('linode', linode),
  row('cloudflare', cloudflare),
  row('gcp', gcp),
  row('azure', azure),
]
export const providersBuilt: readonly ProviderName[] = providers.map(p => p.provider)

function build(name: string, settings: Balancer, deps: BalancerDeps): LoadBalancer {
  for (const provider of providers) {
    const balancer = provider.build(name, settings, deps)
    if (balancer) return balancer
  }
  throw new NotSupportedError(
    `load_balancers.${name}: the provider ${settings.provider} is not there yet; there are: ${providersBuilt.join(', ')}`,
    { hint: 'the provider `command` drives any balancer by scripts of your own' },
  )
}

/** The balancers of a manifest, by name, in its order. Opens nothing. Throws NotSupportedError and BalancerError. */
export const buildBalancers = (
  manifest: Pick<Manifest, 'load_balancers'>,
  deps: BalancerDeps,
): ReadonlyMap<string, LoadBalancer> =>
  new Map(Object.entries(manifest.load_balancers).map(([name, settings]) => [name, build(name, settings, deps)]))
