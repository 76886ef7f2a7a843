/**
 * The AWS providers against moto, an imitation of AWS that others wrote: whether the shapes agree. It knows no draining and no initial state,
 * so it says nothing of waiting: that is the fake's.
 */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { awsClassic } from '../../src/balancers/aws-classic.ts'
import { awsTargetGroup } from '../../src/balancers/aws-target-group.ts'
import type { LoadBalancer } from '../../src/balancers/balancer.ts'
import type { Server } from '../../src/manifest/manifest.ts'
import { type Moto, startMoto } from '../support/moto.ts'
import { classicSettings, groupSettings } from './aws-fixture.ts'
import { server } from './fixtures.ts'

const { signal } = new AbortController()
const v2 = { Version: '2015-12-01' }
const classic = { Version: '2012-06-01' }
let moto: Moto
let servers: readonly Server[]
let arn: string
beforeAll(async () => {
  moto = await startMoto()
  const one = (text: string, name: string) => new RegExp(`<${name}>([^<]+)`).exec(text)?.[1] ?? ''
  const ec2 = { Version: '2016-11-15' }
  const vpc = one(await moto.ask('ec2', { Action: 'DescribeVpcs', ...ec2 }), 'vpcId')
  const run = await moto.ask('ec2', {
    Action: 'RunInstances',
    ImageId: 'ami-12c6146b',
    MinCount: '2',
    MaxCount: '2',
    ...ec2,
  })
  const ids = [...run.matchAll(/<instanceId>([^<]+)/g)].map(m => m[1] ?? '')
  servers = ids.map((id, i) => server(`web${i + 1}`, { id }))
  const group = { Action: 'CreateTargetGroup', Name: 'web', Protocol: 'HTTP', Port: '80', VpcId: vpc, ...v2 }
  arn = one(await moto.ask('elasticloadbalancing', group), 'TargetGroupArn')
  const listener = { Protocol: 'http', LoadBalancerPort: '80', InstancePort: '80' }
  await moto.ask('elasticloadbalancing', {
    Action: 'CreateLoadBalancer',
    LoadBalancerName: 'web',
    'AvailabilityZones.member.1': 'eu-west-1a',
    ...Object.fromEntries(Object.entries(listener).map(([k, v]) => [`Listeners.member.1.${k}`, v])),
    ...classic,
  })
  for (const [i, id] of ids.entries()) {
    const target = { 'Targets.member.1.Id': id, 'Targets.member.1.Port': String(8080 + i) }
    await moto.ask('elasticloadbalancing', { Action: 'RegisterTargets', TargetGroupArn: arn, ...target, ...v2 })
    const instance = { LoadBalancerName: 'web', 'Instances.member.1.InstanceId': id }
    await moto.ask('elasticloadbalancing', { Action: 'RegisterInstancesWithLoadBalancer', ...instance, ...classic })
  }
})
afterAll(() => moto?.stop())

const deps = () => ({
  servers,
  resolve: (text: string) => text,
  runnerEnv: { AWS_ENDPOINT_URL: moto.url, AWS_ACCESS_KEY_ID: 'AKID', AWS_SECRET_ACCESS_KEY: 'x' },
})
const balancers: readonly (readonly [string, () => LoadBalancer, RegExp])[] = [
  ['aws-target-group', () => awsTargetGroup('edge', groupSettings({ target_groups: [arn] }), deps()), /300 s/],
  ['aws-classic', () => awsClassic('edge', classicSettings(), deps()), /draining switched off/],
]

it.each(balancers)('%s reads, leaves and enters again', async (_, build, warning) => {
  const balancer = build()
  const report = await balancer.preflight(servers, signal)
  expect(report.rotation).toEqual({ web1: { state: 'serving' }, web2: { state: 'serving' } })
  expect(report.warnings.join('\n')).toMatch(warning)
  const [web1] = servers
  if (!web1) throw new Error('no server')
  const receipt = await balancer.receipt(web1, signal)
  expect(receipt.before).toBe('serving')
  await balancer.remove(receipt, signal)
  expect((await balancer.read(receipt, signal)).state).toBe('out')
  expect((await balancer.preflight(servers, signal)).rotation).toMatchObject({
    web1: { state: 'out' },
    web2: { state: 'serving' },
  })
  await balancer.restore(receipt, signal)
  expect(await balancer.read(receipt, signal)).toEqual({ state: 'serving' })
  expect((await balancer.receipt(web1, signal)).data).toEqual(receipt.data)
  expect((await balancer.evidence(receipt, signal)).serving).toBe('health')
})

it('says of what is not there that it is not there', async () => {
  const gone = arn.replace('/web/', '/gone/')
  const group = awsTargetGroup('edge', groupSettings({ target_groups: [gone] }), deps())
  await expect(group.preflight(servers, signal)).rejects.toThrow('TargetGroupNotFound')
  const old = awsClassic('edge', classicSettings({ load_balancers: ['gone'] }), deps())
  await expect(old.preflight(servers, signal)).rejects.toThrow(/LoadBalancerNotFound|AccessPointNotFound/)
})
