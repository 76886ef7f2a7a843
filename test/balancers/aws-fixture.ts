/** The fake of AWS before two real applications, for the contract and the provider's own tests. */
import { awsClassic } from '../../src/balancers/aws-classic.ts'
import { awsTargetGroup } from '../../src/balancers/aws-target-group.ts'
import type { LoadBalancer } from '../../src/balancers/balancer.ts'
import type { BalancerOf, Server } from '../../src/manifest/manifest.ts'
import { type FakeAws, startFakeAws } from '../support/fake-aws/fake-aws.ts'
import type { FakeList, ListOptions } from '../support/fake-aws/model.ts'
import { fakeClock } from '../support/fake-clock.ts'
import type { Subject } from './contract-subject.ts'
import { server } from './fixtures.ts'
import { type GatedApp, gatedApp } from './gated-app.ts'

export const arnOf = (name: string, region = 'eu-west-1') =>
  `arn:aws:elasticloadbalancing:${region}:123456789012:targetgroup/${name}/73e2d6bc24d8a067`
export const ids = ['i-0a1b2c3d4e5f60001', 'i-0a1b2c3d4e5f60002'] as const
export const token = 'FwoGZXIvYXdzEBYaDH+the/session/token=='

export const users = {
  AKIDEXAMPLE0000000001: { secret: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' },
  ASIAEXAMPLE0000000002: { secret: 'another+secret', token, may: (action: string) => action.startsWith('Describe') },
}
type Key = keyof typeof users

export const environment = (fake: FakeAws, key: Key = 'AKIDEXAMPLE0000000001'): Record<string, string> => ({
  AWS_ENDPOINT_URL: fake.url,
  AWS_ACCESS_KEY_ID: key,
  AWS_SECRET_ACCESS_KEY: users[key].secret,
  ...('token' in users[key] ? { AWS_SESSION_TOKEN: token } : {}),
})

const common = { on_drain_timeout: 'continue' } as const
export const groupSettings = (more: Partial<BalancerOf<'aws-target-group'>> = {}): BalancerOf<'aws-target-group'> => ({
  ...common,
  roles: [],
  provider: 'aws-target-group',
  target_groups: [arnOf('web')],
  ...more,
})
export const classicSettings = (more: Partial<BalancerOf<'aws-classic'>> = {}): BalancerOf<'aws-classic'> => ({
  ...common,
  roles: [],
  provider: 'aws-classic',
  load_balancers: ['web'],
  region: 'eu-west-1',
  ...more,
})

export interface AwsSite {
  readonly fake: FakeAws
  readonly clock: ReturnType<typeof fakeClock>
  readonly apps: readonly [GatedApp, GatedApp]
  readonly servers: readonly [Server, Server]
  group(
    settings?: Partial<BalancerOf<'aws-target-group'>>,
    servers?: readonly Server[],
    env?: Record<string, string>,
  ): LoadBalancer
  classic(
    settings?: Partial<BalancerOf<'aws-classic'>>,
    servers?: readonly Server[],
    env?: Record<string, string>,
  ): LoadBalancer
  reset(): void
  stop(): Promise<void>
}

type Lists = Partial<Record<string, Partial<ListOptions>>>

/** web1 and web2 in each of these target groups and classic load balancers. */
export async function awsSite(lists: { readonly groups?: Lists; readonly classics?: Lists }): Promise<AwsSite> {
  const apps = [await gatedApp('web1'), await gatedApp('web2')] as const
  const clock = fakeClock()
  const both = ids.map((id, i) => ({ id, port: apps[i]?.port ?? 0 }))
  const addresses = apps.map(app => ({ id: '127.0.0.1', port: app.port, zone: 'eu-west-1a' }))
  const machines = {
    ...Object.fromEntries(both.map(({ id, port }, i) => [id, { name: apps[i]?.name ?? '', port }])),
    '127.0.0.1': { name: 'web1', port: apps[0].port },
  }
  const built = (from: Lists = {}, targets: ListOptions['targets'], key: (name: string) => string) =>
    Object.fromEntries(
      Object.entries(from).map(([name, more]) => [
        key(name),
        { name, delaySeconds: 30, port: 80, targets: more?.type === 'ip' ? addresses : targets, ...more },
      ]),
    )
  const fake = await startFakeAws({
    clock,
    machines,
    users,
    groups: built(lists.groups, both, arnOf),
    classics: built(
      lists.classics,
      ids.map(id => ({ id })),
      name => name,
    ),
    isUp: machine => (apps.find(a => a.name === machine.name)?.status() ?? 200) === 200,
  })
  const servers = [server('web1', { id: ids[0] }), server('web2', { id: ids[1] })] as const
  const deps = (behind: readonly Server[], env: Record<string, string>) => ({
    servers: behind,
    resolve: (text: string, at: Server) =>
      text
        .replace('NAME', at.name)
        .replace('PORT', String(apps.find(a => a.name === at.name || at.roles.includes(a.name))?.port)),
    runnerEnv: env,
  })
  return {
    fake,
    clock,
    apps,
    servers,
    group: (settings = {}, behind = servers, env = environment(fake)) =>
      awsTargetGroup('edge', groupSettings(settings), deps(behind, env), clock),
    classic: (settings = {}, behind = servers, env = environment(fake)) =>
      awsClassic('edge', classicSettings(settings), deps(behind, env), clock),
    reset() {
      fake.fault(null)
      for (const list of [...fake.groups.values(), ...fake.classics.values()]) list.reset()
      for (const app of apps) {
        app.health(200)
        app.release()
      }
    },
    async stop() {
      await fake.stop()
      for (const app of apps) await app.stop()
    },
  }
}

/** `list`: the one that web1 is in. */
export function awsSubject(
  site: AwsSite,
  list: FakeList,
  build: (servers?: readonly Server[], env?: Record<string, string>) => LoadBalancer,
  more: Pick<Subject, 'servers' | 'strangers'>,
): Subject {
  const target = list.options.targets[0] ?? { id: '' }
  return {
    ...more,
    apps: site.apps,
    build,
    port: site.fake.router.port,
    clock: site.clock,
    timeouts: { drain: undefined, add: undefined },
    cannot: {},
    truth: async () => {
      const found = list.list().find(l => l.target.id === target.id && l.target.port === target.port)
      return found === undefined ? 'maintenance' : found.state === 'draining' ? 'draining' : 'in'
    },
    operatorTakesOut: async () => list.forget(target),
    reload: async () => list.register(target),
    fault: async fault => {
      site.fake.fault(fault)
      return async () => site.fake.fault(null)
    },
    denied: () => ({
      balancer: build(undefined, environment(site.fake, 'ASIAEXAMPLE0000000002')),
      secret: token,
    }),
    reset: async () => site.reset(),
    stop: async () => {
      // Everything the provider sent fits the API's description.
      const { complaints } = site.fake
      await site.stop()
      if (complaints.length > 0) throw new Error(`refused by the API's description: ${complaints.join('; ')}`)
    },
  }
}
