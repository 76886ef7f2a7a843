/** What this run may use to get into servers. */
import type { KnownHosts } from './known-hosts.ts'
import type { PrivateKey } from './private-keys.ts'

export interface Access {
  /** Offered in this order. */
  readonly keys: readonly PrivateKey[]
  /** Path of the agent's socket; its keys are offered after `keys`. */
  readonly agent?: string | undefined
  /** null: there are none, so only servers with a `host_key` are known. */
  readonly knownHosts: KnownHosts | null
  /** false: unknown host keys are accepted, with a warning each; changed and revoked ones never. */
  readonly strict: boolean
  /** Told what a person should know. */
  warn(text: string): void
}
