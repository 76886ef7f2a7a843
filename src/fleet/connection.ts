/** A connection to one machine: the whole surface that the rest of the program has of SSH. */
import type { Duplex, Readable } from 'node:stream'

export interface Output {
  readonly stream: 'out' | 'err'
  readonly text: string
}

export interface RunOptions {
  readonly signal: AbortSignal
  /** Seconds; then the remote process group is ended (TERM, later KILL). */
  readonly timeout: number
  /** Called with what the script prints, as it comes, decoded as UTF-8, not cut at lines. */
  readonly onOutput?: (output: Output) => void
  /** Bytes of stdout and of stderr that are kept for the result; default 1 MiB each, the rest is dropped from the middle. */
  readonly keep?: number
}

/** How a script ended. `lost` = the connection went away; whether the script went on is not known. */
export type RunResult = { readonly stdout: string; readonly stderr: string } & (
  | { readonly ended: 'exit'; readonly code: number }
  | { readonly ended: 'signal'; readonly name: string }
  | { readonly ended: 'timeout' }
  | { readonly ended: 'cancelled' }
  | { readonly ended: 'lost'; readonly reason: string }
)

export interface Connection {
  /** The server's name. */
  readonly name: string
  /**
   * Runs POSIX sh text: read whole on the other side before it starts, in a session of its own, with empty stdin. When it is stopped
   * or the connection is lost, its process group is ended; what runs as another user (sudo) cannot be. Throws PreflightError when
   * the login shell starts no script, ConnectionError when the server refuses a session.
   */
  run(script: string, options: RunOptions): Promise<RunResult>
  /**
   * Runs POSIX sh text with `input` as its stdin (an upload). Destroys `input`. Throws as `run` does, and StepError when the input
   * fails; then and when it is stopped, the group is ended before stdin ends. But to a script whose connection is lost the part that
   * came looks like the whole: it has to check (a length, a hash, the archive's own end) before it uses what came.
   */
  send(script: string, input: Readable, options: RunOptions): Promise<RunResult>
  /** A TCP connection to 127.0.0.1:port as seen from the machine. Throws ConnectionError. */
  forward(port: number, signal: AbortSignal): Promise<Duplex>
  /** A connection to a unix socket on the machine. Throws ConnectionError. */
  forwardSocket(path: string, signal: AbortSignal): Promise<Duplex>
  /** Aborted when the connection is gone. */
  readonly closed: AbortSignal
  close(): void
}
