/** The waits that stay in force when a manifest no longer names them: their shape, as plan/ weighs them and release/ stores them. */

export interface StoredWait {
  readonly seconds: number
  /** The lock token of the deployment whose manifest said so. */
  readonly deployment: string
  readonly run: string | null
  /** Seconds since 1970, by that deployment's runner. */
  readonly at: number
}
export interface BalancerWaits {
  readonly removing?: StoredWait | undefined
  readonly adding?: StoredWait | undefined
}
export interface StoredWaits {
  /** Grows with each deployment that stores anything. */
  readonly sequence: number
  readonly balancers: Readonly<Record<string, BalancerWaits>>
}

/** A deployment each minute for a thousand years: a number beyond this was never counted. */
export const highestSequence = 1e9

/** The number after this one. At the highest it stays: a server that claims it gains no way to push the others out of range. */
export const sequenceAfter = (sequence: number): number => Math.min(sequence + 1, highestSequence)
