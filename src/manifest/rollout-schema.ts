/** The keys of `rollout`. */
import { z } from 'zod'
import { checkKeys, exactlyOne, oneKind, oneKindHint } from './check-schema.ts'
import { always, bool, duration, integer, key, names, oneOrMany, oneOrManyIfAny, share, someShare } from './values.ts'

const strict = z.strictObject

export const strategies = ['serial', 'parallel', 'rolling'] as const

const batch = () => oneOrManyIfAny(someShare())
const hold = () =>
  z
    .union([
      duration().transform(seconds => ({ for: seconds, check: undefined })),
      strict({
        for: key(duration(), { description: 'How long the servers done must stay good.', example: '5m' }),
        check: key(strict(checkKeys).refine(exactlyOne, always(oneKind, oneKindHint)).optional(), {
          description: 'A check of its own, in place of verify.',
        }),
      }),
    ])
    .meta({ part: 'hold' })

const group = () =>
  strict({
    roles: key(
      names().refine(v => v.length > 0, 'at least one is expected'),
      { description: 'The servers of this group.', example: ['web'], required: true },
    ),
    strategy: key(z.enum(strategies).optional(), { description: "Another strategy than the rollout's." }),
    batch: key(batch(), { description: 'Stage sizes of this group.' }),
    hold: key(hold().optional(), { description: 'Between the stages of this group.' }),
  })

export const rollout = () =>
  strict({
    strategy: key(z.enum(strategies).optional(), {
      description:
        'serial, parallel or rolling; default: parallel for puma, unicorn and passenger-enterprise, else serial.',
    }),
    batch: key(batch(), {
      description: 'rolling: stage sizes, the last repeats; default [50%, 100%].',
      example: [1, '25%', '100%'],
    }),
    hold: key(hold().optional(), {
      description: 'rolling: between stages, servers done must stay verified this long.',
      example: '30s',
    }),
    min_in_service: key(share().prefault('1'), { description: 'Per balancer: never fewer in rotation because of us.' }),
    max_parallelism: key(integer(1, 10_000).prefault('10'), {
      description: 'Step runs at any one time, the whole deployment over.',
    }),
    concurrent_steps: key(bool().prefault('false'), { description: 'More than one step at a time on one server.' }),
    on_failure: key(z.enum(['stop', 'rollback']).prefault('stop'), {
      description: 'What happens to servers switched when the deployment fails.',
    }),
    max_failures: key(someShare().prefault('1'), {
      description: 'Reached: no new server starts; 100%: go on to the end.',
    }),
    unreachable: key(z.enum(['fail', 'skip']).prefault('fail'), {
      description: 'Servers that cannot be reached in preflight; never for a host-key or authentication failure.',
    }),
    lock_wait: key(duration().prefault('0s'), {
      description: 'How long to wait for a lock that another deployment holds.',
    }),
    groups: key(oneOrMany(group()), { description: 'One after the other; servers of no group come last.' }),
  })
