/** What nobody else would say of a Caddy: what it does not count, what is known by half, and what stays in rotation another way. Pure. */
import type { Standing } from './caddy-members.ts'
import { countsRemoved } from './caddy-version.ts'

export interface CaddyFacts {
  /** The balancer's name in the manifest. */
  readonly name: string
  readonly id: string
  readonly where: string
  readonly version: string | null
  readonly standings: readonly (readonly [server: string, Standing])[]
  /** How often each dial address stands in the whole configuration, lower case. */
  readonly dials: ReadonlyMap<string, number>
}

export function warnings({ name, id, where, version, standings, dials }: CaddyFacts): string[] {
  const named = (is: (standing: Standing) => boolean) =>
    standings.flatMap(([server, standing]) => (is(standing) ? [server] : [])).join(', ')
  const absent = named(s => s.is === 'absent')
  const byHost = named(s => s.is === 'listed' && s.byAddress)
  const twice = named(s => s.is === 'listed' && (dials.get(s.upstream.dial.toLowerCase()) ?? 0) > 1)
  const which = version === null ? 'does not show its version, and before 2.11.2 it' : `is ${version}, which`
  return [
    ...(countsRemoved(version)
      ? []
      : [
          `${name}: Caddy at ${where} ${which} does not count the requests that an upstream still answers after its removal: let wait_after_removing_servers be as long as your longest request`,
        ]),
    ...(absent === '' ? [] : [`${name}: ${absent} is no upstream of ${id} at ${where}, and taken for out`]),
    ...(byHost === ''
      ? []
      : [
          `${name}: ${byHost} is known by the host alone: once out of the list of ${where} it will not be found. Set \`member\` to the upstream's host:port`,
        ]),
    ...(twice === ''
      ? []
      : [
          `${name}: ${twice} stands more than once in the configuration of ${where}: only ${id} is changed, and requests may come by the others`,
        ]),
  ]
}
