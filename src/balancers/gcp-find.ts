/** Which instance or endpoint of Google Cloud a server of the manifest is. */
import { isIP } from 'node:net'
import type { Server } from '../manifest/manifest.ts'
import { type Machine, machineOf } from './cloud-members.ts'
import { isOf, type Key, type Member, memberText } from './gcp-members.ts'
import { isResourceName, lastPart } from './gcp-names.ts'

type Instances = () => Promise<readonly (Machine<string> & { readonly number: string })[]>

/**
 * In a group of addresses the address; else the instance of that name, number or URL, else the only one at the server's address. The zone's
 * instances are listed only where the group does not have it: being out of the group is no error.
 */
export async function findKey(
  server: Pick<Server, 'name' | 'host'>,
  wanted: string | undefined,
  members: readonly Member[],
  byAddress: boolean,
  instances: Instances,
): Promise<{ readonly key: Key } | { readonly problem: string }> {
  if (byAddress) {
    const address = wanted ?? server.host
    if (isIP(address) !== 0) return { key: address }
    const there = members.slice(0, 20).map(memberText).join(', ')
    return { problem: `its endpoint is an IP address, and ${address} is none; endpoints: ${there || 'none'}` }
  }
  const called = wanted === undefined ? undefined : wanted.includes('/') ? lastPart(wanted) : wanted
  const key = called ?? server.name
  if (isResourceName(key) && members.some(m => isOf(m, key))) return { key }
  const all = await instances()
  const numbered = all.find(i => called !== undefined && i.number !== '' && i.number === called)
  if (numbered !== undefined) return { key: numbered.id }
  const found = machineOf(server, called, all)
  return typeof found === 'string' ? { problem: `of the zone's instances ${found}` } : { key: found.id }
}

export const memberHint = (byAddress: boolean): string =>
  byAddress
    ? 'say the IP address of its endpoint with `member` or `id`, or leave it out by `roles`'
    : 'give the server the name of its instance as `id`, say it with `member`, or leave it out by `roles`'
