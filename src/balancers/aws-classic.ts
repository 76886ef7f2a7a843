/** Classic load balancers (API 2012-06-01). They know instances by id only, and tell a draining one as InService. */
import { type Clock, systemClock } from '../clock.ts'
import { BalancerError } from '../errors.ts'
import { quote } from '../fleet/quote.ts'
import type { BalancerOf } from '../manifest/manifest.ts'
import { awsMembership, type ListFacts } from './aws-membership.ts'
import { type AwsQuery, awsQuery } from './aws-query.ts'
import type { Registered, Target } from './aws-targets.ts'
import type { LoadBalancer, Rotation } from './balancer.ts'
import type { CloudDeps } from './cloud-deps.ts'
import { itemsOf, neededAt, textAt, wholeAt, type XmlElement } from './xml.ts'

/** Nothing was measured of its lag: what holds for its successors is kept here too. */
const settleMs = 20_000
const longDrain = 60

/** The provider `aws-classic`. Throws BalancerError for names that cannot be. */
export function awsClassic(
  name: string,
  settings: BalancerOf<'aws-classic'>,
  deps: CloudDeps,
  clock: Pick<Clock, 'now'> = systemClock,
): LoadBalancer {
  const [any] = deps.servers
  const region = any === undefined ? settings.region : deps.resolve(settings.region, any)
  // It becomes part of a host's name.
  if (!/^[a-z]{2,5}(-[a-z]+)+-\d{1,2}$/.test(region))
    throw new BalancerError(`${name}: "${region}" cannot be a region of AWS`, { hint: 'for example eu-west-1' })
  const bad = settings.load_balancers.find(text => !/^[A-Za-z0-9-]{1,32}$/.test(text))
  if (bad !== undefined)
    throw new BalancerError(`${name}: "${bad}" cannot be the name of a classic load balancer`, {
      hint: 'its name, not its ARN or DNS name; application and network load balancers are of the provider aws-target-group',
    })
  const api = awsQuery({
    name,
    env: deps.runnerEnv,
    region,
    version: '2012-06-01',
    endpointVariable: 'AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING',
  })
  const write = async (
    what: 'Register' | 'Deregister',
    balancer: string,
    targets: readonly Target[],
    signal: AbortSignal,
  ) => {
    const [action, where] =
      what === 'Register'
        ? (['RegisterInstancesWithLoadBalancer', 'at'] as const)
        : (['DeregisterInstancesFromLoadBalancer', 'from'] as const)
    await api.call(
      action,
      { LoadBalancerName: balancer, Instances: targets.map(t => ({ InstanceId: t.id })) },
      {
        doing: `${what.toLowerCase()} ${targets.map(t => t.id).join(', ')} ${where} ${balancer}`,
        read: () => undefined,
      },
      signal,
    )
  }

  return awsMembership(
    name,
    settings,
    deps,
    {
      names: settings.load_balancers,
      shortName: balancer => balancer,
      settleMs,
      read: (balancer, signal) =>
        api.call(
          'DescribeInstanceHealth',
          { LoadBalancerName: balancer },
          {
            doing: `read the instances of ${balancer}`,
            read: result => itemsOf(result, 'InstanceStates').map(s => registeredIn(s, balancer)),
          },
          signal,
        ),
      facts: (balancer, signal) => factsOf(api, balancer, signal),
      register: (balancer, targets, signal) => write('Register', balancer, targets, signal),
      deregister: (balancer, targets, signal) => write('Deregister', balancer, targets, signal),
      byHand: (balancer, targets) =>
        `aws elb register-instances-with-load-balancer --region ${region} --load-balancer-name ${quote(balancer)} --instances ${targets.map(t => quote(t.id)).join(' ')}`,
    },
    clock,
  )
}

function registeredIn(state: XmlElement, balancer: string): Registered {
  const id = neededAt(state, 'InstanceId')
  const word = neededAt(state, 'State')
  const description = textAt(state, 'Description') ?? ''
  const detail = `${id} at ${balancer}: ${word}${['', 'N/A'].includes(description) ? '' : `, ${description}`}`
  return { id, rotation: rotationOf(word, description, detail), unused: false }
}

/** States, and the descriptions that alone tell them apart: API reference, InstanceState. */
function rotationOf(state: string, description: string, detail: string): Rotation {
  if (/deregistration currently in progress/i.test(description)) return { state: 'draining', detail }
  if (state === 'InService') return { state: 'serving' }
  if (state !== 'OutOfService') return { state: 'unknown', detail }
  if (/not currently registered/i.test(description)) return { state: 'out', detail }
  return /registration is still in progress/i.test(description)
    ? { state: 'warming', detail }
    : { state: 'unhealthy', detail }
}

async function factsOf(api: AwsQuery, balancer: string, signal: AbortSignal): Promise<ListFacts> {
  const add = await api.call(
    'DescribeLoadBalancers',
    { LoadBalancerNames: [balancer] },
    {
      doing: `read the health check of ${balancer}`,
      read(result) {
        const found = itemsOf(result, 'LoadBalancerDescriptions').find(d => textAt(d, 'LoadBalancerName') === balancer)
        if (!found) throw new SyntaxError(`no ${balancer} among the load balancers`)
        return (
          (wholeAt(found, 'HealthCheck', 'Interval') ?? 30) * (wholeAt(found, 'HealthCheck', 'HealthyThreshold') ?? 10)
        )
      },
    },
    signal,
  )
  const draining = await api.call(
    'DescribeLoadBalancerAttributes',
    { LoadBalancerName: balancer },
    {
      doing: `read the attributes of ${balancer}`,
      read: result => ({
        enabled: neededAt(result, 'LoadBalancerAttributes', 'ConnectionDraining', 'Enabled') === 'true',
        seconds: wholeAt(result, 'LoadBalancerAttributes', 'ConnectionDraining', 'Timeout') ?? 300,
      }),
    },
    signal,
  )
  return {
    type: 'instance',
    drained: draining.enabled ? 'state' : 'none',
    drainMs: draining.enabled ? draining.seconds * 1000 : 0,
    addMs: add * 1000,
    warnings: [
      ...(draining.enabled
        ? []
        : [
            `${balancer} has connection draining switched off, so it cuts the requests that a leaving server works on: switch it on, with a timeout of the longest request (30 s, say)`,
          ]),
      ...(draining.enabled && draining.seconds > longDrain
        ? [
            `${balancer} waits up to ${draining.seconds} s for connections of a server that leaves: set the timeout of its connection draining to the longest request (30, say)`,
          ]
        : []),
      ...(add > longDrain
        ? [
            `${balancer} takes ${add} s (interval × threshold) until a server that comes back is in service: a health check every 5 s and a healthy threshold of 2 would take 10 s`,
          ]
        : []),
    ],
  }
}
