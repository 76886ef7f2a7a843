/** The plan of a plain wish where nothing was found; tests change what they are about. */
import type { Manifest } from '../../src/manifest/manifest.ts'
import { type Facts, makePlan, type Wish } from '../../src/plan/make-plan.ts'
import type { Plan } from '../../src/plan/plan.ts'
import type { Shard } from '../../src/plan/shards.ts'
import { noStoredWaits } from '../../src/plan/sticky-waits.ts'

const wish: Wish = { command: 'deploy', servers: 'all', strategy: null, maxParallelism: null, migrate: null }
const facts: Facts = {
  release: null,
  migration: { done: false, underWay: false, changed: null },
  current: {},
  url: null,
  earlier: [],
  unreachable: [],
  storedWaits: noStoredWaits,
  done: [],
}

export const planned = (m: Manifest, w: Partial<Wish> = {}, f: Partial<Facts> = {}): Plan =>
  makePlan(m, { ...wish, ...w }, { ...facts, ...f })

export const everyShard = (of: number): readonly Shard[] => Array.from({ length: of }, (_, i) => ({ index: i + 1, of }))
