/** FAKE: which parameters ELB's actions take (API references 2015-12-01 and 2012-06-01), and a reader that refuses all others. */

type Shape =
  | { readonly is: 'text' | 'number'; readonly needed?: boolean }
  | { readonly is: 'list'; readonly of: Shapes | 'text'; readonly needed?: boolean }
type Shapes = Readonly<Record<string, Shape>>

const text = { is: 'text' } as const
const needed = { is: 'text', needed: true } as const
const number = { is: 'number' } as const
const targets = { Id: needed, Port: number, AvailabilityZone: text, QuicServerId: text }
const instances = { InstanceId: needed }

export const shapes: Readonly<Record<string, Readonly<Record<string, Shapes>>>> = {
  '2015-12-01': {
    DescribeTargetGroups: {
      LoadBalancerArn: text,
      TargetGroupArns: { is: 'list', of: 'text' },
      Names: { is: 'list', of: 'text' },
      Marker: text,
      PageSize: number,
    },
    DescribeTargetGroupAttributes: { TargetGroupArn: needed },
    DescribeTargetHealth: {
      TargetGroupArn: needed,
      Targets: { is: 'list', of: targets },
      Include: { is: 'list', of: 'text' },
    },
    RegisterTargets: { TargetGroupArn: needed, Targets: { is: 'list', of: targets, needed: true } },
    DeregisterTargets: { TargetGroupArn: needed, Targets: { is: 'list', of: targets, needed: true } },
  },
  '2012-06-01': {
    DescribeLoadBalancers: { LoadBalancerNames: { is: 'list', of: 'text' }, Marker: text, PageSize: number },
    DescribeLoadBalancerAttributes: { LoadBalancerName: needed },
    DescribeInstanceHealth: { LoadBalancerName: needed, Instances: { is: 'list', of: instances } },
    RegisterInstancesWithLoadBalancer: {
      LoadBalancerName: needed,
      Instances: { is: 'list', of: instances, needed: true },
    },
    DeregisterInstancesFromLoadBalancer: {
      LoadBalancerName: needed,
      Instances: { is: 'list', of: instances, needed: true },
    },
  },
}

export interface Call {
  readonly version: string
  readonly action: string
  readonly text: Readonly<Record<string, string>>
  /** Lists of texts have the one field ''. */
  readonly lists: Readonly<Record<string, readonly Readonly<Record<string, string>>[]>>
}

/** The call, or a sentence that says what does not fit. */
export function readCall(body: string): Call | string {
  const fields = [...new URLSearchParams(body)]
  const names = fields.map(([name]) => name)
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined) return `${twice} is given twice`
  const all = Object.fromEntries(fields)
  const { Action: action = '', Version: version = '', ...rest } = all
  const shape = shapes[version]?.[action]
  if (!shape) return `there is no action ${action} in version ${version}`
  const texts: Record<string, string> = {}
  const lists: Record<string, Record<string, string>[]> = {}
  for (const [name, value] of Object.entries(rest)) {
    const [, key = '', member, field = ''] = /^(\w+)(?:\.member\.([1-9]\d*)(?:\.(\w+))?)?$/.exec(name) ?? []
    const one = shape[key]
    if (!one) return `${action} has no parameter ${name}`
    if (one.is !== 'list') {
      if (member !== undefined) return `${key} is no list`
      if (value === '' || (one.is === 'number' && !/^\d+$/.test(value))) return `${name} is not a ${one.is}`
      texts[key] = value
      continue
    }
    const inner: Shape | undefined = one.of === 'text' ? (field === '' ? text : undefined) : one.of[field]
    if (member === undefined || inner === undefined) return `${action} has no parameter ${name}`
    if (value === '' || (inner.is === 'number' && !/^\d+$/.test(value))) return `${name} is not a ${inner.is}`
    const list = lists[key] ?? []
    lists[key] = list
    const at = Number(member) - 1
    if (at > list.length) return `${name} leaves a number out`
    list[at] = { ...list[at], [field]: value }
  }
  for (const [key, one] of Object.entries(shape)) {
    if (one.needed && texts[key] === undefined && lists[key] === undefined) return `${action} needs ${key}`
    if (one.is === 'list' && one.of !== 'text')
      for (const item of lists[key] ?? [])
        for (const [field, inner] of Object.entries(one.of))
          if (inner.needed && item[field] === undefined) return `${key} needs ${field}`
  }
  return { version, action, text: texts, lists }
}
