/** What of a server's traffic is watched from the server itself, by the manifest. Pure. */
import { checksFor } from './checks.ts'
import type { Balancer, Manifest, Server } from './manifest.ts'

/** In seconds. */
export interface Confirm {
  readonly port: number
  /** No traffic for so long, before a server counts as drained; 0: not asked for. */
  readonly quietFor: number
  /** Traffic is waited for so long after adding; 0: not at all. */
  readonly within: number
}

/** Where nothing else is written, in seconds. */
export const defaultQuietFor = 2

/** `asked`: the manifest names it. Otherwise it counts only where the balancer itself cannot tell that a server is drained. */
export type Wanted =
  | { readonly is: 'asked' | 'default'; readonly confirm: Confirm }
  /** quiet_for: 0, and nothing is waited for. */
  | { readonly is: 'off' }
  /** Neither confirm.port nor a check says at which port requests arrive. `asked`: confirm is written all the same. */
  | { readonly is: 'no port'; readonly asked: boolean }

/** Providers that can never tell that nothing is in flight, and those that cannot with some settings of the balancer's own. */
export const blind = {
  always: ['health-file', 'digitalocean', 'hetzner', 'linode', 'cloudflare', 'azure'],
  sometimes: ['caddy', 'aws-target-group', 'aws-classic', 'gcp'],
} as const satisfies Readonly<Record<string, readonly Balancer['provider'][]>>

/** The port of the first check by http or tcp that is meant for the server. */
const checkedPort = (manifest: Pick<Manifest, 'verify'>, server: Server): number | undefined =>
  checksFor(manifest.verify, server).flatMap(c => c.http?.port ?? c.tcp?.port ?? [])[0]

/** What is to be watched on one server for one balancer. */
export function wantedAt(
  settings: Pick<Balancer, 'confirm'>,
  manifest: Pick<Manifest, 'verify'>,
  server: Server,
): Wanted {
  const { confirm } = settings
  const port = confirm?.port ?? checkedPort(manifest, server)
  const quietFor = confirm?.quiet_for ?? defaultQuietFor
  const within = confirm?.traffic_within ?? 0
  if (quietFor === 0 && within === 0) return { is: 'off' }
  if (port === undefined) return { is: 'no port', asked: confirm !== undefined }
  return { is: confirm === undefined ? 'default' : 'asked', confirm: { port, quietFor, within } }
}
