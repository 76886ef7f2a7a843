/** A deployment as a plain value: `plan` prints it, `deploy` carries it out, the summary is filled from it. */

import type { StoredWaits } from '../manifest/kept-waits.ts'
import type { Hold, Strategy } from '../manifest/schema.ts'
import type { Shard } from './shards.ts'
import type { WaitSource } from './sticky-waits.ts'

/** Where an effective value came from, strongest first. */
export type Origin = 'gate' | 'input' | 'manifest' | 'default'

export interface Effective<T> {
  readonly value: T
  readonly origin: Origin
  /** Why, in a sentence, for people. */
  readonly reason: string
}

export interface PlannedRelease {
  readonly id: string
  /** Full commit, or null for `nocommit`. */
  readonly commit: string | null
  /** `release.path` with its look-ups resolved. */
  readonly path: string
  /** Workspace-relative source; null: an empty directory that `prepare` fills. */
  readonly source: string | null
  readonly files: number
  /** Bytes staged on each server, unpacked. */
  readonly bytes: number
}

export interface PlannedMigration {
  readonly enabled: boolean
  readonly origin: Origin
  readonly reason: string
  /** The migration's server; null when disabled. */
  readonly server: string | null
  /** This release was migrated before: the gate holds, the script is not run again. */
  readonly done: boolean
}

export interface PlannedServer {
  readonly name: string
  readonly host: string
  readonly roles: readonly string[]
  /** Balancers it is taken out of, in that order; empty: deployed in place. */
  readonly balancers: readonly string[]
  /** Why it is deployed in place although balancers select it; null where that is not so. */
  readonly inPlace: string | null
  /** An unfinished deployment of this release was done with it: it is skipped if it verifies at its turn. */
  readonly done: boolean
  /** Balancers where an earlier deployment of ours left it out, as `plan` found it just now: it goes back there. Empty: not asked. */
  readonly leftOut: readonly string[]
  /** Balancers where somebody else took it out: it stays out there. Empty: not asked. */
  readonly keptOut: readonly string[]
  /** Release that `current` points to now; null: none, or not read. */
  readonly current: string | null
}

export interface PlannedStep {
  readonly phase: 'prepare' | 'activate' | 'finalize' | 'cleanup'
  /** Place in the manifest's list of that phase, from 0. */
  readonly index: number
  readonly name: string
  readonly servers: readonly string[]
  /** Steps with the same number start together. */
  readonly group: number
  /** On the first of its servers only: for all of them. */
  readonly once: boolean
}

export interface PlannedGroup {
  /** The roles, joined; `all` without groups; `others` for servers of no group. */
  readonly name: string
  readonly strategy: Strategy
  readonly servers: readonly string[]
  /** Servers under way at any one time. */
  readonly limit: number
  /** One after the other; each server of the group is in exactly one. */
  readonly stages: readonly (readonly string[])[]
  /** Between stages the servers that are done must stay good for so many seconds; null: nothing is held. */
  readonly hold: Hold | null
}

export interface PlannedWait {
  readonly balancer: string
  /** Seconds per server. */
  readonly removing: number
  readonly adding: number
  readonly sources: { readonly removing: WaitSource; readonly adding: WaitSource }
  /** Servers that are removed from it. */
  readonly servers: number
  /** Seconds added to the deployment, with how they come about. */
  readonly adds: number
  readonly reason: string
}

export interface Plan {
  /** `rollback`: the release is on the servers already; nothing is staged, prepared or migrated. */
  readonly command: 'deploy' | 'rollback'
  readonly application: string
  readonly environment: string | null
  readonly url: string | null
  readonly release: PlannedRelease | null
  /** `mixed`: groups have different ones of their own. */
  readonly strategy: Effective<Strategy | 'mixed'>
  readonly maxParallelism: Effective<number>
  /** So many failed servers stop the deployment. */
  readonly maxFailures: number
  readonly migration: PlannedMigration
  /** The selected servers that are deployed, in order. */
  readonly servers: readonly PlannedServer[]
  /** One after the other; each selected server is in exactly one. */
  readonly groups: readonly PlannedGroup[]
  readonly steps: readonly PlannedStep[]
  readonly waits: readonly PlannedWait[]
  /** Seconds that the waits add in all: of several balancers' waits for one server the largest counts once. */
  readonly addedSeconds: number
  /** What earlier deployments stored, of which each wait counts that the manifest does not name. */
  readonly storedWaits: StoredWaits | null
  readonly notices: readonly string[]
  readonly warnings: readonly string[]
  /** One part of a fan-out: all else here is of this part alone. */
  readonly shard?: PlannedShard
}

export interface PlannedShard extends Shard {
  /** Names of the selected servers of all shards, in order. */
  readonly selection: readonly string[]
}
