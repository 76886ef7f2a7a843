/** The fake of Azure before two real applications, for the contract and the provider's own tests. */
import { azure } from '../../src/balancers/azure.ts'
import type { BalancerOf, Server } from '../../src/manifest/manifest.ts'
import { fakeClock } from '../support/fake-clock.ts'
import type { Subject } from './contract-subject.ts'
import { type AzureAddress, type AzureFacts, type FakeAzure, fakeAzure } from './fake-azure.ts'
import { server } from './fixtures.ts'
import { gatedApp } from './gated-app.ts'
import { startRouter } from './routing.ts'

export const token = 'eyJ0eXAiOiJKV1Qi.only-for-this.test'
export const servers = [server('web1', { host: '10.0.0.1' }), server('web2', { host: '10.0.0.2' })] as const

export const addresses: readonly AzureAddress[] = [
  { name: 'other', ip: '10.0.0.8', adminState: 'None' },
  { name: 'web1', ip: '10.0.0.1' },
  { name: 'web2', ip: '10.0.0.2', adminState: 'None' },
  { name: 'twin-a', ip: '10.0.0.9' },
  { name: 'twin-b', ip: '10.0.0.9' },
]
type Settings = Partial<BalancerOf<'azure'>>

export function tools(facts: Partial<AzureFacts> = {}) {
  const clock = fakeClock()
  let fake: FakeAzure
  return {
    clock,
    start: async (behind: AzureFacts['behind'] = {}) => {
      fake = await fakeAzure({ clock, token, addresses, behind, ...facts })
      fake.settle()
      return fake
    },
    build: (
      those: readonly Server[] = servers,
      { env = {}, ...more }: Settings & { env?: Record<string, string> } = {},
    ) =>
      azure(
        'edge',
        { provider: 'azure', roles: [], on_drain_timeout: 'continue', backend_pool: '${{ env.POOL }}', ...more },
        {
          servers: those,
          resolve: (text, at) => text.replace('${{ env.POOL }}', fake.pool).replace('NAME', at.name),
          runnerEnv: { AZURE_ACCESS_TOKEN: token, AZURE_RESOURCE_MANAGER_ENDPOINT: fake.url, ...env },
        },
        clock,
      ),
  }
}

export async function subject(): Promise<Subject> {
  const apps = [await gatedApp('web1'), await gatedApp('web2')] as const
  const { clock, start, build } = tools()
  const fake = await start({ web1: apps[0], web2: apps[1] })
  const router = await startRouter(fake.routes)
  return {
    servers,
    apps,
    clock,
    port: router.port,
    timeouts: { drain: undefined, add: undefined },
    build: those => build(those),
    cannot: {
      'in flight': 'the API tells nothing of connections in flight',
      unhealthy: 'the API tells the health of an address by no plain call',
    },
    strangers: {
      unknown: [server('web8', { host: '203.0.113.8' }), server('web9', { id: 'nobody' })],
      ambiguous: [server('twin', { host: '10.0.0.9' })],
    },
    truth: async () => (fake.adminState('web1') === 'Down' ? 'maintenance' : 'in'),
    operatorTakesOut: async () => fake.put('web1', 'Down'),
    reload: async () => fake.put('web1', 'None'),
    fault: fake.fault,
    denied: () => ({
      balancer: build(servers, { env: { AZURE_ACCESS_TOKEN: 'not-that-one' } }),
      secret: 'not-that-one',
    }),
    reset: async () => {
      fake.heal()
      for (const app of apps) {
        app.health(200)
        app.release()
      }
      fake.settle()
    },
    stop: async () => {
      await router.stop()
      for (const app of apps) await app.stop()
      await fake.stop()
    },
  }
}
