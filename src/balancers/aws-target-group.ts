/** Target groups of application and network load balancers (API 2015-12-01). A target group is named by its ARN, which holds the region. */
import { isIP } from 'node:net'
import { type Clock, systemClock } from '../clock.ts'
import { BalancerError } from '../errors.ts'
import { quote } from '../fleet/quote.ts'
import type { BalancerOf } from '../manifest/manifest.ts'
import { awsMembership, type ListFacts } from './aws-membership.ts'
import { type AwsQuery, awsQuery } from './aws-query.ts'
import type { Registered, Target } from './aws-targets.ts'
import type { LoadBalancer, Rotation } from './balancer.ts'
import type { CloudDeps } from './cloud-deps.ts'
import { childOf, itemsOf, neededAt, textAt, wholeAt, type XmlElement } from './xml.ts'

const arn = /^arn:aws[\w-]*:elasticloadbalancing:([a-z0-9-]+):\d{12}:targetgroup\/([A-Za-z0-9-]{1,32})\/[0-9a-z]+$/

/**
 * An application load balancer goes on sending new requests for about 15 s after it says "draining" (measured by others: 2 s draining,
 * last request after 19 s; aws-load-balancer-controller#2366).
 */
const settleMs = 20_000
/** Longer drains are worth a warning, in seconds: AWS's default is 300. */
const longDrain = 60

/** The provider `aws-target-group`. Throws BalancerError for what is no ARN of a target group. */
export function awsTargetGroup(
  name: string,
  settings: BalancerOf<'aws-target-group'>,
  deps: CloudDeps,
  clock: Pick<Clock, 'now'> = systemClock,
): LoadBalancer {
  const groups = new Map(
    settings.target_groups.map(text => {
      const [, region, short] = arn.exec(text) ?? []
      if (region !== undefined && short !== undefined) return [text, { region, short }] as const
      throw new BalancerError(`${name}: "${text}" is not the ARN of a target group`, {
        hint: 'arn:aws:elasticloadbalancing:REGION:ACCOUNT:targetgroup/NAME/ID, as `aws elbv2 describe-target-groups` shows it',
      })
    }),
  )
  const regions = new Map<string, AwsQuery>()
  const groupOf = (group: string) => groups.get(group) ?? { region: '', short: group }
  const apiOf = (group: string): AwsQuery => {
    const { region } = groupOf(group)
    const known =
      regions.get(region) ??
      awsQuery({
        name,
        env: deps.runnerEnv,
        region,
        version: '2015-12-01',
        endpointVariable: 'AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2',
      })
    regions.set(region, known)
    return known
  }
  const write = async (
    action: 'RegisterTargets' | 'DeregisterTargets',
    group: string,
    targets: readonly Target[],
    signal: AbortSignal,
  ) => {
    const doing = `${action === 'RegisterTargets' ? 'register' : 'deregister'} ${targets.map(t => t.id).join(', ')} in target group ${groupOf(group).short}`
    await apiOf(group).call(
      action,
      { TargetGroupArn: group, Targets: targets.map(parameters) },
      { doing, read: () => undefined },
      signal,
    )
  }

  return awsMembership(
    name,
    settings,
    deps,
    {
      names: [...groups.keys()],
      shortName: group => groupOf(group).short,
      settleMs,
      read: (group, signal) =>
        apiOf(group).call(
          'DescribeTargetHealth',
          { TargetGroupArn: group },
          {
            doing: `read the targets of ${groupOf(group).short}`,
            read: result => itemsOf(result, 'TargetHealthDescriptions').map(d => registeredIn(d, groupOf(group).short)),
          },
          signal,
        ),
      facts: (group, signal) => factsOf(apiOf(group), group, groupOf(group).short, signal),
      register: (group, targets, signal) => write('RegisterTargets', group, targets, signal),
      deregister: (group, targets, signal) => write('DeregisterTargets', group, targets, signal),
      byHand: (group, targets) =>
        `aws elbv2 register-targets --region ${groupOf(group).region} --target-group-arn ${quote(group)} --targets ${targets
          .map(t =>
            quote(
              Object.entries(parameters(t))
                .map(([k, v]) => `${k}=${v}`)
                .join(','),
            ),
          )
          .join(' ')}`,
    },
    clock,
  )
}

/** With the port always: a removal without it is answered with success and does nothing where the port differs from the group's. */
const parameters = ({ id, port, zone }: Target): Readonly<Record<string, string | number>> => ({
  Id: id,
  ...(port === undefined ? {} : { Port: port }),
  // Instances have a zone of their own; to name one is refused.
  ...(zone === undefined || isIP(id) === 0 ? {} : { AvailabilityZone: zone }),
})

function registeredIn(description: XmlElement, group: string): Registered {
  const port = wholeAt(description, 'Target', 'Port')
  const zone = textAt(description, 'Target', 'AvailabilityZone')
  const id = neededAt(description, 'Target', 'Id')
  const health = childOf(description, 'TargetHealth')
  const state = health ? neededAt(health, 'State') : ''
  const reason = (health && textAt(health, 'Reason')) ?? ''
  const at = `${id}${port === undefined ? '' : `:${port}`} in ${group}: ${[state, reason].filter(t => t !== '').join(', ')}`
  return {
    id,
    ...(port === undefined ? {} : { port }),
    ...(zone === undefined || zone === '' ? {} : { zone }),
    rotation: rotationOf(state, reason, at),
    unused: state === 'unused' && reason === 'Target.NotInUse',
  }
}

/** States and reasons: API reference, TargetHealth. */
function rotationOf(state: string, reason: string, detail: string): Rotation {
  switch (state) {
    case 'healthy':
      return { state: 'serving' }
    case 'initial':
      return { state: 'warming', detail }
    case 'draining':
      return { state: 'draining', detail }
    case 'unhealthy':
    case 'unhealthy.draining':
      return { state: 'unhealthy', detail }
    case 'unused':
      // A stopped instance or an address that cannot be used is still registered, and comes back by itself.
      return reason === 'Target.InvalidState' || reason === 'Target.IpUnusable'
        ? { state: 'unhealthy', detail }
        : { state: 'out', detail }
    default:
      return { state: 'unknown', detail }
  }
}

async function factsOf(api: AwsQuery, group: string, short: string, signal: AbortSignal): Promise<ListFacts> {
  const described = await api.call(
    'DescribeTargetGroups',
    { TargetGroupArns: [group] },
    {
      doing: `read target group ${short}`,
      read(result) {
        const found = itemsOf(result, 'TargetGroups').find(g => textAt(g, 'TargetGroupArn') === group)
        if (!found) throw new SyntaxError(`no ${short} among the target groups`)
        return {
          type: neededAt(found, 'TargetType'),
          used: childOf(found, 'LoadBalancerArns') !== undefined && itemsOf(found, 'LoadBalancerArns').length > 0,
          interval: wholeAt(found, 'HealthCheckIntervalSeconds') ?? 30,
          threshold: wholeAt(found, 'HealthyThresholdCount') ?? 5,
        }
      },
    },
    signal,
  )
  const { type, used, interval, threshold } = described
  if (type !== 'instance' && type !== 'ip')
    throw new BalancerError(`target group ${short} has targets of type ${type}: those are no servers`, {
      hint: 'name the target groups that the servers themselves are in',
    })
  const attributes = await api.call(
    'DescribeTargetGroupAttributes',
    { TargetGroupArn: group },
    {
      doing: `read the attributes of target group ${short}`,
      read: result => new Map(itemsOf(result, 'Attributes').map(a => [neededAt(a, 'Key'), textAt(a, 'Value') ?? ''])),
    },
    signal,
  )
  const seconds = (key: string, usual: number) => {
    const text = attributes.get(key) ?? ''
    return /^\d{1,5}$/.test(text) ? Number(text) : usual
  }
  const drain = seconds('deregistration_delay.timeout_seconds', 300)
  const add = interval * threshold
  return {
    type,
    drained: 'state',
    drainMs: drain * 1000,
    addMs: (add + seconds('slow_start.duration_seconds', 0)) * 1000,
    warnings: [
      ...(drain > longDrain
        ? [
            `target group ${short} waits up to ${drain} s for connections of a server that leaves, and kept-alive ones usually use all of it: set deregistration_delay.timeout_seconds to the longest request (30, say), or each server may take that long`,
          ]
        : []),
      ...(add > longDrain
        ? [
            `target group ${short} takes ${add} s (interval × threshold) until a server that comes back is healthy: a health check every 5 s and a healthy threshold of 2 would take 10 s`,
          ]
        : []),
      ...(used ? [] : [`target group ${short} is behind no load balancer`]),
    ],
  }
}
