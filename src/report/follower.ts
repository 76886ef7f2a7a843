/** What follows a run elsewhere: GitHub's record of it, a pull request's comment. It listens as all reports do, and has a last word to say. */
import type { Listener } from './events.ts'
import type { ReportState } from './state.ts'

export interface Follower {
  readonly listener: Listener
  /** After `run-ended`: says how it went. Never throws, and takes a bounded time: the runner kills a cancelled run after ten seconds. */
  readonly end: (state: ReportState) => Promise<void>
  /** Outputs of the action that only it knows. */
  readonly outputs: () => Readonly<Record<string, string>>
}
