/** What people are told of a backend pool of Azure. Pure. */
import type { PoolRead } from './azure-answers.ts'
import type { PoolPath } from './azure-api.ts'
import type { PoolRules } from './azure-pool.ts'

export function warningsOf(
  { drainPeriod }: Pick<PoolRead, 'drainPeriod'>,
  { rules, unprobed, healthyMs, sticky }: PoolRules,
  { pool, settleMs, up }: { readonly pool: string; readonly settleMs: number; readonly up: readonly string[] },
): readonly string[] {
  return [
    `Azure tells neither what is in flight nor who is healthy: a server counts as drained ${settleMs / 1000} s after its removal, and as serving ${healthyMs / 1000} s (probe interval × threshold) after it was put back`,
    drainPeriod > 0
      ? `open connections are reset ${drainPeriod} s after a removal (drainPeriodInSeconds of ${pool})`
      : 'open connections go on after a removal, with new requests of keep-alive clients: the application has to close idle ones when it stops',
    ...(rules.length === 0 ? [`no rule leads to ${pool}: it gets no connections`] : []),
    ...(unprobed.length === 0
      ? []
      : [
          `no health probe is set in ${unprobed.join(', ')}: the admin state does nothing there, so a removal may not work`,
        ]),
    ...(sticky ? ['a rule has session persistence: clients of a server that leaves go to another one'] : []),
    ...(up.length === 0
      ? []
      : [`${up.join(', ')} had the admin state Up, which ignores the health probe: put back as None`]),
  ]
}

const quoted = (text: string): string => (/^[\w.-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`)

/** The command that puts it back. `name`: what it is called in the pool. */
export function byHandAtAzure(
  { balancer, balancerName, poolName }: PoolPath,
  name: string | undefined,
  server: string,
): string {
  const [, subscription = '', group = ''] = /^\/subscriptions\/([^/]+)\/resourceGroups\/([^/]+)\//i.exec(balancer) ?? []
  const at = `--subscription ${subscription} -g ${quoted(group)} --lb-name ${balancerName} --pool-name ${poolName}`
  return `az network lb address-pool address update ${at} -n ${name ? quoted(name) : 'ADDRESS'} --admin-state None # ${server}`
}
