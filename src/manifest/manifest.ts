/** The manifest of one environment as the rest of the program sees it: overlaid, expanded, with every default filled in. */
import type { BalancerSettings, ManifestKeys, ProviderName, Step } from './schema.ts'

/** One place on the way to a server. */
export interface Hop {
  readonly user: string
  readonly host: string
  readonly port: number
}

/** A machine reached over SSH: a server, or a balancer's own host. Durations in seconds. */
export interface Server extends Hop {
  readonly name: string
  readonly roles: readonly string[]
  readonly id: string | undefined
  /** Public host keys (`ssh-ed25519 AAAA…`) that replace known_hosts for it; empty: known_hosts. */
  readonly hostKeys: readonly string[]
  /** null: from the action step's env. */
  readonly env: Readonly<Record<string, string | null>>
  readonly bastions: readonly Hop[]
  readonly connectTimeout: number
  readonly keepalive: number
}

type Expanded<S> = S extends { hosts: unknown } ? Omit<S, 'hosts'> & { readonly hosts: readonly Server[] } : S

/** Settings of a balancer with its hosts expanded. */
export type Balancer = Expanded<BalancerSettings>
export type BalancerOf<N extends ProviderName> = Extract<Balancer, { provider: N }>

/** What makes a manifest that of a pull request's preview. */
export interface Preview {
  /** null: of whichever pull request (the clean-up). */
  readonly number: number | null
  readonly limit: number
  readonly teardown: readonly Step[]
  /** Where the environments live: a preview keeps apart from all of it. */
  readonly others: readonly OtherPath[]
}

export interface OtherPath {
  /** null: the manifest has no `environments`. */
  readonly environment: string | null
  /** `release.path` as written. */
  readonly path: string
  readonly env: Readonly<Record<string, string | null>>
  /** null: its servers could not be read. */
  readonly hosts: readonly string[] | null
}

export interface Manifest extends Omit<ManifestKeys, 'servers' | 'load_balancers'> {
  /** Path as given, for messages. */
  readonly file: string
  readonly environment: string | null
  /** Names of all environments; empty: the manifest has no such block. */
  readonly environments: readonly string[]
  readonly servers: readonly Server[]
  /** Dotted paths of the keys that stand in the file (overlay included), as `rollout.max_parallelism`: what is not here is a default. */
  readonly written: ReadonlySet<string>
  readonly load_balancers: Readonly<Record<string, Balancer>>
  /** Only of a preview. */
  readonly preview?: Preview
}
