/** The fake of Google Cloud before two real applications, for the contract and the provider's own tests. */
import { gcp } from '../../src/balancers/gcp.ts'
import type { BalancerOf, Server } from '../../src/manifest/manifest.ts'
import { fakeClock } from '../support/fake-clock.ts'
import type { Subject } from './contract-subject.ts'
import { type Endpoint, type FakeGcp, fakeGcp, type GcpFacts, type GcpInstance } from './fake-gcp.ts'
import { server } from './fixtures.ts'
import { gatedApp } from './gated-app.ts'
import { startRouter } from './routing.ts'

export const token = 'ya29.only-for-this-test'
export const servers = [server('web1', { host: '192.0.2.1' }), server('web2', { host: '192.0.2.2' })] as const

/** So many that one page does not hold them; those that count come last. */
export const instances: readonly GcpInstance[] = [
  ...Array.from({ length: 205 }, (_, i) => ({ id: String(1000 + i), name: `other${i}`, ip: `10.1.0.${i}` })),
  { id: '1', name: 'web1', ip: '10.0.0.1', nat: '192.0.2.1' },
  { id: '2', name: 'web2', ip: '10.0.0.2', nat: '192.0.2.2' },
  { id: '3', name: 'net-a', ip: '10.0.0.9' },
  { id: '4', name: 'net-b', ip: '10.0.0.9' },
]

export type GroupUnderTest = 'instance group' | 'network endpoint group' | 'hybrid'
type Settings = Partial<BalancerOf<'gcp'>>

/** web1 and web2 as the group has them. */
export const endpointsOf = (group: GroupUnderTest): readonly Endpoint[] => {
  if (group === 'instance group') return [{ instance: 'web1' }, { instance: 'web2' }]
  if (group === 'hybrid')
    return [
      { ipAddress: '192.0.2.1', port: 8080 },
      { ipAddress: '192.0.2.2', port: 8080 },
    ]
  return [
    { instance: 'web1', ipAddress: '10.0.0.1', port: 8080 },
    { instance: 'web2', ipAddress: '10.0.0.2', port: 8080 },
  ]
}
const types = {
  'instance group': 'instance group',
  'network endpoint group': 'GCE_VM_IP_PORT',
  hybrid: 'NON_GCP_PRIVATE_IP_PORT',
} as const

export const settingsOf = (group: GroupUnderTest, more: Settings = {}): BalancerOf<'gcp'> => ({
  provider: 'gcp',
  roles: [],
  on_drain_timeout: 'continue',
  backend_service: 'web',
  project: '${{ env.PROJECT }}',
  zone: 'europe-west1-b',
  ...(group === 'instance group' ? { instance_group: 'web-group' } : { network_endpoint_group: 'web-neg' }),
  ...more,
})

export function tools(group: GroupUnderTest, facts: Partial<GcpFacts> = {}) {
  const clock = fakeClock()
  let fake: FakeGcp
  return {
    clock,
    start: async (behind: GcpFacts['behind'] = {}) => {
      const state = { type: types[group], ...facts.state }
      fake = await fakeGcp({ clock, token, instances, behind, ...facts, state })
      fake.settle(endpointsOf(group))
      return fake
    },
    build: (
      those: readonly Server[] = servers,
      { env = {}, ...more }: Settings & { env?: Record<string, string> } = {},
    ) =>
      gcp(
        'edge',
        settingsOf(group, more),
        {
          servers: those,
          resolve: (text, at) => text.replace('${{ env.PROJECT }}', 'shop-project').replace('NAME', at.name),
          runnerEnv: {
            GOOGLE_OAUTH_ACCESS_TOKEN: token,
            CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE: fake.url,
            ...env,
          },
        },
        clock,
      ),
  }
}

export async function subject(group: Exclude<GroupUnderTest, 'hybrid'>): Promise<Subject> {
  const apps = [await gatedApp('web1'), await gatedApp('web2')] as const
  const { clock, start, build } = tools(group)
  const fake = await start({ web1: apps[0], web2: apps[1] })
  const router = await startRouter(fake.routes)
  return {
    servers,
    apps,
    clock,
    port: router.port,
    timeouts: { drain: undefined, add: undefined },
    build: those => build(those),
    cannot: group === 'instance group' ? { 'in flight': 'the API tells nothing of an instance that is out' } : {},
    strangers: {
      unknown: [server('web8', { host: '203.0.113.8' }), server('web9', { id: '99' })],
      ambiguous: [server('inner', { host: '10.0.0.9' })],
    },
    truth: async () => (fake.members('web1').length > 0 ? 'in' : 'maintenance'),
    operatorTakesOut: async () => {
      fake.take('web1')
      // What an operator took out before is drained.
      await clock.sleep(3_600_000, new AbortController().signal)
    },
    reload: async () => fake.put(endpointsOf(group)[0] as Endpoint),
    fault: fake.fault,
    denied: () => ({
      balancer: build(servers, { env: { GOOGLE_OAUTH_ACCESS_TOKEN: 'not-that-one' } }),
      secret: 'not-that-one',
    }),
    reset: async () => {
      fake.heal()
      for (const app of apps) {
        app.health(200)
        app.release()
      }
      fake.settle(endpointsOf(group))
    },
    stop: async () => {
      await router.stop()
      for (const app of apps) await app.stop()
      await fake.stop()
    },
  }
}
