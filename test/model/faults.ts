/** What can go wrong in a case, and what else is settled before it begins. */
export const faultNames = [
  'lost',
  'lost, runs on',
  'stop',
  'sleep',
  'wall',
  'late',
  'cut off',
  'kill',
  'kill before',
  'cancel',
  'fails',
  'fails after',
  'hangs',
  'lies',
  'outage',
  'reload',
  'sick',
] as const

export interface Fault {
  /** The how manieth effect it meets. */
  readonly at: number
  readonly what: (typeof faultNames)[number]
  readonly seconds: number
}

export interface Settings {
  readonly seed: number
  readonly faults: readonly Fault[]
  readonly bad: boolean
  readonly operators: boolean
  /** Scripts become another user, and can be ended by nobody. */
  readonly sudo: boolean
}
