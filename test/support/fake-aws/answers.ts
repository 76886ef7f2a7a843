/** FAKE: what ELB's actions do to the model, and the XML they answer. */
import type { FakeList, FakeMachine, FakeTarget, Listed } from './model.ts'
import type { Call } from './shapes.ts'
import type { Refusal } from './signature.ts'

const escaped = (text: string): string => text.replace(/[<>&"']/g, c => `&#${c.charCodeAt(0)};`)

type Node = string | number | boolean | readonly Node[] | { readonly [name: string]: Node }
const xml = (node: Node): string => {
  if (Array.isArray(node)) return (node as readonly Node[]).map(item => `<member>${xml(item)}</member>`).join('')
  if (typeof node !== 'object') return escaped(String(node))
  return Object.entries(node)
    .map(([name, value]) => `<${name}>${xml(value as Node)}</${name}>`)
    .join('')
}

export const document = (version: string, root: string, node: Node): string =>
  `<${root} xmlns="http://elasticloadbalancing.amazonaws.com/doc/${version}/">${xml(node)}</${root}>`

export interface Account {
  readonly groups: ReadonlyMap<string, FakeList>
  readonly classics: ReadonlyMap<string, FakeList>
  readonly machines: Readonly<Record<string, FakeMachine>>
  /** Writes are answered with success and not done. */
  readonly ignoresWrites: boolean
  /** How old an answer is, in milliseconds. */
  readonly staleMs: number
}

const refuse = (status: number, code: string, message: string): Refusal => ({ status, code, message })

export const isRefusal = (answer: object): answer is Refusal => 'code' in answer && 'status' in answer

/** The element `<action>Result`, or a refusal. */
export const answerTo = (call: Call, account: Account): { readonly result: Node } | Refusal =>
  call.version === '2015-12-01' ? answerV2(call, account) : answerClassic(call, account)

const reasons: Readonly<Record<Listed['state'], readonly [reason: string, description: string] | undefined>> = {
  initial: ['Elb.InitialHealthChecking', 'Initial health checks in progress'],
  healthy: undefined,
  unhealthy: ['Target.FailedHealthChecks', 'Health checks failed'],
  draining: ['Target.DeregistrationInProgress', 'Target deregistration is in progress'],
  unused: ['Target.NotInUse', 'Target group is not configured to receive traffic from the load balancer'],
}

const described = (target: FakeTarget, state: Listed['state'], other?: readonly [string, string]): Node => {
  const [reason, description] = other ?? reasons[state] ?? []
  return {
    Target: {
      Id: target.id,
      ...(target.port === undefined ? {} : { Port: target.port }),
      ...(target.zone === undefined ? {} : { AvailabilityZone: target.zone }),
    },
    HealthCheckPort: String(target.port ?? ''),
    TargetHealth: {
      State: state,
      ...(reason === undefined ? {} : { Reason: reason }),
      ...(description === undefined ? {} : { Description: description }),
    },
  }
}

function answerV2({ action, text, lists }: Call, account: Account): { readonly result: Node } | Refusal {
  const noGroup = refuse(400, 'TargetGroupNotFound', 'One or more target groups not found')
  if (action === 'DescribeTargetGroups') {
    const wanted = lists['TargetGroupArns']?.map(t => t[''] ?? '') ?? [...account.groups.keys()]
    const found = wanted.flatMap(arn => account.groups.get(arn)?.options ?? [])
    if (found.length < wanted.length) return noGroup
    return {
      result: {
        TargetGroups: found.map((o, i) => ({
          TargetGroupArn: wanted[i] ?? '',
          TargetGroupName: o.name,
          Protocol: 'HTTP',
          Port: o.port ?? 80,
          VpcId: 'vpc-0123',
          HealthCheckProtocol: 'HTTP',
          HealthCheckPort: 'traffic-port',
          HealthCheckIntervalSeconds: o.intervalSeconds,
          HealthCheckTimeoutSeconds: 2,
          HealthyThresholdCount: o.threshold,
          UnhealthyThresholdCount: 2,
          LoadBalancerArns: o.used
            ? ['arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/edge/50dc6c495c0c9188']
            : [],
          TargetType: o.type ?? 'instance',
        })),
      },
    }
  }
  const group = account.groups.get(text['TargetGroupArn'] ?? '')
  if (!group) return noGroup
  const { options } = group
  if (action === 'DescribeTargetGroupAttributes') {
    const attributes = {
      'stickiness.enabled': false,
      'deregistration_delay.timeout_seconds': options.delaySeconds,
      'slow_start.duration_seconds': options.slowStartSeconds ?? 0,
      'load_balancing.algorithm.type': 'round_robin',
    }
    return { result: { Attributes: Object.entries(attributes).map(([Key, Value]) => ({ Key, Value })) } }
  }
  const targets = lists['Targets']?.map(
    (t): FakeTarget => ({
      id: t['Id'] ?? '',
      port: t['Port'] === undefined ? (options.port ?? 80) : Number(t['Port']),
      ...(t['AvailabilityZone'] === undefined ? {} : { zone: t['AvailabilityZone'] }),
    }),
  )
  if (action === 'DescribeTargetHealth') {
    const there = group.list(account.staleMs)
    const shown = targets
      ? targets.map(t => {
          const found = there.find(l => l.target.id === t.id && l.target.port === t.port)
          return found
            ? described(found.target, found.state)
            : described(t, 'unused', ['Target.NotRegistered', 'Target is not registered to the target group'])
        })
      : there.map(l => described(l.target, l.state))
    return { result: { TargetHealthDescriptions: shown } }
  }
  const strange = (targets ?? []).find(t => (options.type ?? 'instance') === 'instance' && !account.machines[t.id])
  if (action === 'RegisterTargets' && strange)
    return refuse(
      400,
      'InvalidTarget',
      `The following targets are not in a running state and cannot be registered: '${strange.id}'`,
    )
  if (action === 'RegisterTargets' && (options.type ?? 'instance') === 'instance' && targets?.some(t => t.zone))
    return refuse(400, 'ValidationError', 'You cannot specify an availability zone for an instance target')
  if (!account.ignoresWrites)
    for (const target of targets ?? []) {
      if (action === 'RegisterTargets') group.register(target)
      // An address is known by itself; the zone it was registered with is kept.
      else group.deregister(target)
    }
  return { result: {} }
}

/** State, reason code and description (API reference, InstanceState): draining is InService too. */
const classicStates: Readonly<Record<Listed['state'], readonly [string, string, string]>> = {
  initial: ['OutOfService', 'ELB', 'Instance registration is still in progress.'],
  healthy: ['InService', 'N/A', 'N/A'],
  unhealthy: [
    'OutOfService',
    'Instance',
    'Instance has failed at least the UnhealthyThreshold number of health checks consecutively.',
  ],
  draining: ['InService', 'N/A', 'Instance deregistration currently in progress.'],
  unused: ['OutOfService', 'ELB', 'Instance is not currently registered with the LoadBalancer.'],
}

function answerClassic({ action, text, lists }: Call, account: Account): { readonly result: Node } | Refusal {
  const missing = (name: string) =>
    refuse(400, 'LoadBalancerNotFound', `There is no ACTIVE Load Balancer named '${name}'`)
  if (action === 'DescribeLoadBalancers') {
    const wanted = lists['LoadBalancerNames']?.map(t => t[''] ?? '') ?? [...account.classics.keys()]
    const absent = wanted.find(name => !account.classics.has(name))
    if (absent !== undefined) return missing(absent)
    return {
      result: {
        LoadBalancerDescriptions: wanted.map(name => {
          const { options } = account.classics.get(name) ?? { options: undefined }
          return {
            LoadBalancerName: name,
            DNSName: `${name}.eu-west-1.elb.amazonaws.com`,
            HealthCheck: {
              Target: 'HTTP:80/up',
              Interval: options?.intervalSeconds ?? 30,
              Timeout: 2,
              UnhealthyThreshold: 2,
              HealthyThreshold: options?.threshold ?? 10,
            },
            Instances: (account.classics.get(name)?.list() ?? []).map(l => ({ InstanceId: l.target.id })),
          }
        }),
      },
    }
  }
  const balancer = account.classics.get(text['LoadBalancerName'] ?? '')
  if (!balancer) return missing(text['LoadBalancerName'] ?? '')
  if (action === 'DescribeLoadBalancerAttributes')
    return {
      result: {
        LoadBalancerAttributes: {
          CrossZoneLoadBalancing: { Enabled: true },
          AccessLog: { Enabled: false },
          ConnectionDraining: {
            Enabled: balancer.options.draining,
            ...(balancer.options.draining ? { Timeout: balancer.options.delaySeconds } : {}),
          },
          ConnectionSettings: { IdleTimeout: 60 },
        },
      },
    }
  const ids = lists['Instances']?.map(i => i['InstanceId'] ?? '')
  const strange = ids?.find(id => !account.machines[id])
  if (strange !== undefined) return refuse(400, 'InvalidInstance', `Could not find EC2 instance ${strange}.`)
  const there = balancer.list(account.staleMs)
  if (action === 'DescribeInstanceHealth') {
    const state = (id: string) => classicStates[there.find(l => l.target.id === id)?.state ?? 'unused']
    const shown = (ids ?? there.map(l => l.target.id)).map((id): Node => {
      const [State, ReasonCode, Description] = state(id)
      return { InstanceId: id, State, ReasonCode, Description }
    })
    return { result: { InstanceStates: shown } }
  }
  if (!account.ignoresWrites)
    for (const id of ids ?? []) action.startsWith('Register') ? balancer.register({ id }) : balancer.deregister({ id })
  return { result: { Instances: balancer.list().map(l => ({ InstanceId: l.target.id })) } }
}
