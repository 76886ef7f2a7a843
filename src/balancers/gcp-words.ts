/** What people are told of a group of Google Cloud. Pure. */
import { isIP } from 'node:net'
import { messageOf } from '../errors.ts'
import type { Receipt } from './balancer.ts'
import type { GroupFacts } from './gcp-group.ts'
import { type Key, membersBefore } from './gcp-members.ts'
import { lastPart, type Named } from './gcp-names.ts'

/** More than this for each server is worth a word on what to set instead. */
const longDrainMs = 60_000

export function warningsOf(
  name: string,
  { drainMs, service, sticky }: GroupFacts,
  { group, byTime, annotated }: { group: string; byTime: boolean; annotated: readonly string[] },
): readonly string[] {
  const seconds = drainMs / 1000
  const flag = (value: string) =>
    `gcloud compute backend-services update ${lastPart(service)} --connection-draining-timeout=${value}`
  const shorter = drainMs > longDrainMs ? `; set what the longest request takes: ${flag('30')}` : ''
  const cost = byTime
    ? `the ${group} does not tell what is in flight: each server takes its whole draining timeout of ${seconds} s to be drained${shorter}`
    : `each server drains for up to ${seconds} s${shorter}`
  return [
    drainMs === 0
      ? `${name}: connection draining is off: requests in flight may be cut when a server leaves the ${group}; set ${flag('30')}`
      : `${name}: ${cost}`,
    ...(sticky ? [`${name}: ${service} has session affinity: sessions of a server that leaves go to another one`] : []),
    ...(annotated.length === 0
      ? []
      : [`${name}: annotations of the endpoints of ${annotated.join(', ')} are not put back`]),
  ]
}

/** The command that adds it. What a receipt says is not repeated where it has another form than ours. */
export function byHandAtGcp(receipt: Receipt, { project, zone, group, kind }: Named, key: Key | undefined): string {
  const at = `--project=${project} --zone=${zone}`
  if (kind === 'instance group')
    return `gcloud compute instance-groups unmanaged add-instances ${group} ${at} --instances=${key ?? 'INSTANCE'} # ${receipt.server}`
  let endpoints: readonly string[]
  try {
    endpoints = membersBefore(receipt, key ?? 'INSTANCE', kind).map(({ instance, ip, ipv6, port }) =>
      [
        ...(instance === undefined ? [] : [`instance=${instance}`]),
        ...(ip === undefined ? [] : [`ip=${ip}`]),
        ...(ipv6 === undefined ? [] : [`ipv6=${ipv6}`]),
        ...(port === undefined ? [] : [`port=${port}`]),
      ].join(','),
    )
  } catch (error) {
    return `# ${receipt.server}: ${messageOf(error)}; gcloud compute network-endpoint-groups update ${group} ${at} --add-endpoint=${key !== undefined && isIP(key) !== 0 ? `ip=${key}` : `instance=${key ?? 'INSTANCE'}`}`
  }
  return `gcloud compute network-endpoint-groups update ${group} ${at} ${endpoints.map(e => `--add-endpoint=${e}`).join(' ')} # ${receipt.server}`
}
