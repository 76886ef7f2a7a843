/**
 * One server's way as data: which stage may follow which, and the table of Failure in semantics.md. The story in `server.ts` looks up
 * what to do here; every row is a test.
 */

export const stages = [
  'pending',
  'removing',
  'draining',
  'switching',
  'activating',
  'verifying',
  'adding',
  'done',
  'restoring',
  'rolling back',
  'rolled-back',
  'failed',
  'left-out',
] as const
export type Stage = (typeof stages)[number]

/** What may come next. `pending` again: it went straight back, unchanged. */
export const transitions = {
  pending: ['removing', 'switching', 'rolling back', 'failed'],
  removing: ['draining', 'restoring', 'failed'],
  draining: ['switching', 'rolling back', 'removing', 'restoring', 'failed'],
  switching: ['activating', 'restoring', 'rolling back', 'failed', 'left-out'],
  activating: ['verifying', 'rolling back', 'failed', 'left-out'],
  verifying: ['adding', 'done', 'rolling back', 'failed', 'left-out'],
  adding: ['done', 'rolling back', 'failed', 'left-out'],
  restoring: ['pending', 'failed', 'left-out'],
  'rolling back': ['rolled-back', 'failed', 'left-out'],
  done: [],
  'rolled-back': [],
  failed: [],
  'left-out': [],
} as const satisfies Record<Stage, readonly Stage[]>

export const mayFollow = (from: Stage, to: Stage): boolean => (transitions[from] as readonly Stage[]).includes(to)

/** Where on its way a server failed, as the table of Failure names it. */
export const failurePoints = [
  'preparing',
  'removing',
  'serving again',
  'switching',
  'activating',
  'verifying',
  'adding: unhealthy',
  'adding: balancer',
  'rolling back',
  'lease lost',
] as const
export type FailurePoint = (typeof failurePoints)[number]

/** taken out: serial or rolling, behind a balancer. in place: parallel, or no balancer. */
export type Mode = 'taken out' | 'in place'
export type OnFailure = 'stop' | 'rollback'

export type Remedy =
  /** The partial release is removed. */
  | 'discard'
  /** Back into rotation on every balancer; not confirmed: left out. */
  | 'restore'
  /** Left as it is, out of rotation. */
  | 'leave out'
  /** The previous release, activated and verified, then back into rotation. */
  | 'go back and restore'
  /** The previous release, activated and verified, while in rotation. */
  | 'go back in place'
  /** Nothing more is done. */
  | 'nothing'

export interface Row {
  readonly at: readonly FailurePoint[]
  readonly mode: Mode | 'any'
  readonly onFailure: OnFailure | 'any'
  readonly remedy: Remedy
  /** How the server ends when the remedy works. */
  readonly outcome: 'failed' | 'rolled-back'
  readonly rotation: 'in' | 'out' | 'unknown' | 'as it was'
}

/** semantics.md, Failure. `adding: unhealthy` has been removed again and read back before this is asked. */
export const failureTable: readonly Row[] = [
  { at: ['preparing'], mode: 'any', onFailure: 'any', remedy: 'discard', outcome: 'failed', rotation: 'in' },
  {
    at: ['removing', 'serving again', 'switching'],
    mode: 'taken out',
    onFailure: 'any',
    remedy: 'restore',
    outcome: 'failed',
    rotation: 'in',
  },
  {
    at: ['removing', 'serving again', 'switching'],
    mode: 'in place',
    onFailure: 'any',
    remedy: 'nothing',
    outcome: 'failed',
    rotation: 'as it was',
  },
  {
    at: ['activating', 'verifying', 'adding: unhealthy'],
    mode: 'taken out',
    onFailure: 'stop',
    remedy: 'leave out',
    outcome: 'failed',
    rotation: 'out',
  },
  {
    at: ['activating', 'verifying', 'adding: unhealthy'],
    mode: 'taken out',
    onFailure: 'rollback',
    remedy: 'go back and restore',
    outcome: 'rolled-back',
    rotation: 'in',
  },
  {
    at: ['activating', 'verifying', 'adding: unhealthy'],
    mode: 'in place',
    onFailure: 'any',
    remedy: 'go back in place',
    outcome: 'rolled-back',
    rotation: 'in',
  },
  {
    at: ['adding: balancer'],
    mode: 'any',
    onFailure: 'any',
    remedy: 'nothing',
    outcome: 'failed',
    rotation: 'unknown',
  },
  {
    at: ['rolling back'],
    mode: 'taken out',
    onFailure: 'any',
    remedy: 'leave out',
    outcome: 'failed',
    rotation: 'out',
  },
  { at: ['rolling back'], mode: 'in place', onFailure: 'any', remedy: 'nothing', outcome: 'failed', rotation: 'in' },
  { at: ['lease lost'], mode: 'any', onFailure: 'any', remedy: 'nothing', outcome: 'failed', rotation: 'as it was' },
]

/** The one row for a failure. */
export function rowFor(at: FailurePoint, mode: Mode, onFailure: OnFailure): Row {
  const row = failureTable.find(
    r =>
      r.at.includes(at) &&
      (r.mode === 'any' || r.mode === mode) &&
      (r.onFailure === 'any' || r.onFailure === onFailure),
  )
  if (row === undefined) throw new Error(`no row for ${at}, ${mode}, ${onFailure}`)
  return row
}
