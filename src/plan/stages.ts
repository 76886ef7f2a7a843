/**
 * The stages of a group (semantics.md, Strategies): servers that failed last time or were left out come first, in a stage of their own;
 * the others under rolling in stages by `batch`: sizes, not totals; the last repeats.
 */
import type { Share } from '../manifest/values.ts'
import { atLeastOne } from './shares.ts'

/** Canary or half first, then the rest. */
const halves: readonly Share[] = [{ percent: 50 }, { percent: 100 }]

/** `batch` null: no stages by size. Percentages are of the group's servers. Every server is in exactly one stage, in its order. */
export function stagesOf(
  servers: readonly string[],
  earlier: ReadonlySet<string>,
  batch: readonly Share[] | null,
): readonly (readonly string[])[] {
  const first = servers.filter(name => earlier.has(name))
  const rest = servers.filter(name => !earlier.has(name))
  const stages = first.length > 0 ? [first] : []
  if (batch === null) return rest.length > 0 ? [...stages, rest] : stages
  const sizes = batch.length > 0 ? batch : halves
  for (let from = 0, n = 0; from < rest.length; n++) {
    const share = sizes[Math.min(n, sizes.length - 1)] ?? { percent: 100 }
    const size = atLeastOne(share, servers.length)
    stages.push(rest.slice(from, from + size))
    from += size
  }
  return stages
}
