/**
 * The family of errors a person may meet. Each says what happened in its message; `hint` says what to do next.
 * Anything else that is thrown is a fault of this program.
 */
export interface ErrorFacts {
  readonly server?: string
  /** Where on the server's way it happened: `draining`, `activating`, … */
  readonly stage?: string
  readonly hint?: string
  readonly cause?: unknown
}

export class DeployError extends Error {
  readonly server: string | undefined
  readonly stage: string | undefined
  readonly hint: string | undefined

  constructor(message: string, facts: ErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause })
    this.name = new.target.name
    this.server = facts.server
    this.stage = facts.stage
    this.hint = facts.hint
  }
}

/** One place in a file that is wrong. Lines and columns count from 1. */
export interface Problem {
  readonly file: string
  readonly line: number
  readonly column: number
  /** The line as it stands in the file. */
  readonly source: string
  readonly message: string
  /** What to write instead. */
  readonly hint?: string
}

/** The manifest cannot be used; carries every problem of the file at once. */
export class ManifestError extends DeployError {
  readonly problems: readonly Problem[]
  constructor(message: string, problems: readonly Problem[], facts: ErrorFacts = {}) {
    super(message, facts)
    this.problems = problems
  }
}
/** An input, argument or the request as a whole cannot be used. */
export class InputError extends DeployError {}
/** Something the spec names that this version does not do yet. */
export class NotSupportedError extends DeployError {}
/** TCP, handshake or an open connection failed. The only kind that is tried again. */
export class ConnectionError extends DeployError {}
/** The host's key is unknown or another one. Never tried again; nothing was sent. */
export class HostKeyError extends DeployError {}
/** The server refused every key. Never tried again. */
export class AuthenticationError extends DeployError {}
/** A server is not fit for the deployment: tools, rights, room, state. */
export class PreflightError extends DeployError {}
/** A script ended with failure. */
export class StepError extends DeployError {}
/** A check did not become good. */
export class VerifyError extends DeployError {}
/** A balancer refused, could not be read, or does not do what it was told. */
export class BalancerError extends DeployError {
  /** Set where the balancer is throttled or overloaded: milliseconds until a next try is worth it; 0: it did not say. */
  readonly retryAfterMs: number | undefined

  constructor(message: string, facts: ErrorFacts & { readonly retryAfterMs?: number | undefined } = {}) {
    super(message, facts)
    this.retryAfterMs = facts.retryAfterMs
  }
}
/** Old connections were open at drain_timeout, and on_drain_timeout is `fail`: this server's failure, not the balancer's. */
export class StillBusyError extends BalancerError {}
/** `min_in_service` keeps a server in rotation. */
export class StayError extends BalancerError {}
/** Another deployment holds the lock. */
export class LockHeldError extends DeployError {}
/** Our own lock is gone: nothing more may be done on that server. */
export class LockLostError extends DeployError {}
/** The run was cancelled. */
export class CancelledError extends DeployError {}

/** The message of whatever was thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
