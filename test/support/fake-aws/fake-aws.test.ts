/** The fake is driven by AWS's own SDK: what it accepts and answers has to be what that one sends and reads. */
import {
  DeregisterTargetsCommand,
  DescribeTargetGroupAttributesCommand,
  DescribeTargetGroupsCommand,
  DescribeTargetHealthCommand,
  ElasticLoadBalancingV2Client,
  RegisterTargetsCommand,
} from '@aws-sdk/client-elastic-load-balancing-v2'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type AwsSite, arnOf, awsSite, ids, token, users } from '../../balancers/aws-fixture.ts'
import { readCall } from './shapes.ts'

const arn = arnOf('web')
const { signal } = new AbortController()
let site: AwsSite
beforeAll(async () => {
  site = await awsSite({ groups: { web: { delaySeconds: 60 } } })
})
afterEach(() => site.reset())
afterAll(() => site?.stop())

const sdk = (credentials: { accessKeyId: string; secretAccessKey: string; sessionToken?: string }, maxAttempts = 1) =>
  new ElasticLoadBalancingV2Client({ region: 'eu-west-1', endpoint: site.fake.url, credentials, maxAttempts })
const good = { accessKeyId: 'AKIDEXAMPLE0000000001', secretAccessKey: users.AKIDEXAMPLE0000000001.secret }
const target = () => ({ Id: ids[0], Port: site.apps[0].port })
const states = async (client = sdk(good)) =>
  (
    await client.send(new DescribeTargetHealthCommand({ TargetGroupArn: arn, Targets: [target()] }))
  ).TargetHealthDescriptions?.map(d => [d.TargetHealth?.State, d.TargetHealth?.Reason])

describe('the fake of AWS, driven by the official SDK,', () => {
  it('tells a target group and its attributes', async () => {
    const client = sdk(good)
    const groups = await client.send(new DescribeTargetGroupsCommand({ TargetGroupArns: [arn] }))
    expect(groups.TargetGroups).toMatchObject([
      { TargetGroupArn: arn, TargetType: 'instance', HealthCheckIntervalSeconds: 5, HealthyThresholdCount: 2 },
    ])
    const attributes = await client.send(new DescribeTargetGroupAttributesCommand({ TargetGroupArn: arn }))
    expect(attributes.Attributes).toContainEqual({ Key: 'deregistration_delay.timeout_seconds', Value: '60' })
  })

  it('goes from healthy over draining to unused, and over initial to healthy, as time passes', async () => {
    const client = sdk(good)
    expect(await states()).toEqual([['healthy', undefined]])
    await client.send(new DeregisterTargetsCommand({ TargetGroupArn: arn, Targets: [target()] }))
    expect(await states()).toEqual([['draining', 'Target.DeregistrationInProgress']])
    await site.clock.sleep(60_000, signal)
    expect(await states()).toEqual([['unused', 'Target.NotRegistered']])
    await client.send(new RegisterTargetsCommand({ TargetGroupArn: arn, Targets: [target()] }))
    expect(await states()).toEqual([['initial', 'Elb.InitialHealthChecking']])
    await site.clock.sleep(10_000, signal)
    expect(await states()).toEqual([['healthy', undefined]])
  })

  it('goes on routing to a target that is draining, as ALB does', async () => {
    const client = sdk(good)
    await client.send(new DeregisterTargetsCommand({ TargetGroupArn: arn, Targets: [target()] }))
    const answers = async () => {
      const all = []
      for (let i = 0; i < 8; i++) all.push(await (await fetch(`http://127.0.0.1:${site.fake.router.port}/`)).text())
      return new Set(all)
    }
    expect(await answers()).toContain('web1')
    await site.clock.sleep(19_000, signal)
    expect(await answers()).toEqual(new Set(['web2']))
  })

  it('answers 200 to a removal with another port, and does nothing', async () => {
    const wrong = { Id: ids[0], Port: 81 }
    const done = await sdk(good).send(new DeregisterTargetsCommand({ TargetGroupArn: arn, Targets: [wrong] }))
    expect(done.$metadata.httpStatusCode).toBe(200)
    expect(await states()).toEqual([['healthy', undefined]])
  })

  it('throttles with HTTP 400, and the SDK knows it for throttling', async () => {
    site.fake.fault('throttling')
    await expect(states()).rejects.toMatchObject({ name: 'Throttling', $metadata: { httpStatusCode: 400 } })
    const before = site.fake.calls.length
    await expect(states(sdk(good, 3))).rejects.toThrow('Rate exceeded')
    expect(site.fake.calls.length - before).toBe(3)
  })

  it.each([
    ['a wrong secret', { ...good, secretAccessKey: 'wrong' }, 'SignatureDoesNotMatch'],
    ['an unknown key', { ...good, accessKeyId: 'AKIDNOBODY' }, 'InvalidClientTokenId'],
    ['a token that is not its own', { ...good, sessionToken: token }, 'ExpiredToken'],
  ])('refuses %s', async (_, credentials, name) => {
    await expect(states(sdk(credentials))).rejects.toMatchObject({ name })
  })

  it('refuses what the policy does not allow, and takes a session token', async () => {
    const reader = sdk({ accessKeyId: 'ASIAEXAMPLE0000000002', secretAccessKey: 'another+secret', sessionToken: token })
    expect(await states(reader)).toEqual([['healthy', undefined]])
    const write = reader.send(new RegisterTargetsCommand({ TargetGroupArn: arn, Targets: [target()] }))
    await expect(write).rejects.toMatchObject({ name: 'AccessDenied' })
  })

  it('refuses an instance that does not exist, and a target group that does not', async () => {
    const client = sdk(good)
    const none = client.send(new RegisterTargetsCommand({ TargetGroupArn: arn, Targets: [{ Id: 'i-00000000' }] }))
    await expect(none).rejects.toMatchObject({ name: 'InvalidTargetException' })
    const gone = client.send(new DescribeTargetHealthCommand({ TargetGroupArn: arnOf('gone') }))
    await expect(gone).rejects.toMatchObject({ name: 'TargetGroupNotFoundException' })
  })
})

describe("the fake's description", () => {
  const call = (fields: Record<string, string>) =>
    readCall(
      new URLSearchParams({
        Version: '2015-12-01',
        Action: 'RegisterTargets',
        TargetGroupArn: arn,
        ...fields,
      }).toString(),
    )
  it.each([
    [{ 'Targets.member.1.Id': 'i-1', 'Targets.member.1.Weight': '1' }, /no parameter Targets.member.1.Weight/],
    [{ 'Targets.member.2.Id': 'i-1' }, /leaves a number out/],
    [{ 'Targets.member.1.Port': '80' }, /needs Id/],
    [{ 'Targets.member.1.Id': 'i-1', 'Targets.member.1.Port': 'http' }, /not a number/],
    [{ Targets: 'i-1' }, /no parameter Targets/],
    [{ Nothing: '1' }, /no parameter Nothing/],
    [{}, /needs Targets/],
    [{ Version: '2012-06-01' }, /no action RegisterTargets/],
  ])('refuses %j', (fields, why) => expect(call(fields)).toMatch(why))
})
