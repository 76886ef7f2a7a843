/** Shares of servers: `3` or `25%`. */
import type { Share } from '../manifest/values.ts'

/** Servers that a share means, rounded down, at least 1. */
export const atLeastOne = (share: Share, total: number): number =>
  'count' in share ? share.count : Math.max(1, Math.floor((share.percent * total) / 100))

/** Servers that a share means, rounded up: for what has to stay in service. */
export const roundedUp = (share: Share, total: number): number =>
  'count' in share ? share.count : Math.ceil((share.percent * total) / 100)
