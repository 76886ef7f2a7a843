/** SIGINT, SIGTERM and, unless nohup is to outlive it, SIGHUP: the first cancels, and a second one may end everything at once. */
import { constants } from 'node:os'
import { cancelling, early } from './begin.ts'
import { CancelledError } from './errors.ts'
import { stderr, stdout } from './output.ts'

export interface Signals {
  readonly cancel: AbortSignal
  /** 128 and the number of the first signal, as shells have it; null: none came. */
  readonly exitCode: () => number | null
  /** What a person reads when a second signal ended everything at once. */
  readonly atOnce: (words: () => string) => void
}

const codeOf = (signal: NodeJS.Signals) => 128 + constants.signals[signal]

/** Milliseconds: npm and the like hand on the Ctrl-C that the terminal has sent to all of them; that is no second one. */
const handedOn = 250

/**
 * Whether a signal after the first ends everything at once. GitHub sends SIGTERM 7.5 s after SIGINT to a run that is still ending well, and
 * kills it 2.5 s later. A terminal that is closed sends SIGHUP, its shell another one, and a session's end SIGTERM. So it is SIGINT, which a
 * person types, and outside GitHub a SIGTERM after a SIGTERM. `after`: milliseconds since the first.
 */
export function endsAtOnce(onGitHub: boolean, first: NodeJS.Signals, next: NodeJS.Signals, after: number): boolean {
  if (onGitHub) return next === 'SIGINT'
  return after >= handedOn && (next === 'SIGINT' || (next === 'SIGTERM' && first === 'SIGTERM'))
}

export function onSignals(onGitHub: boolean): Signals {
  const cancel = new AbortController()
  let first: NodeJS.Signals | null = null
  let firstAt = 0
  let second: NodeJS.Signals | null = null
  let lastWords = () => ''
  const cancelBy = (signal: NodeJS.Signals) => {
    first = signal
    firstAt = performance.now()
    cancel.abort(new CancelledError(`the run was cancelled (${signal})`))
  }
  for (const signal of cancelling)
    process.on(signal, () => {
      if (first === null) return cancelBy(signal)
      if (!endsAtOnce(onGitHub, first, signal, performance.now() - firstAt)) return
      second = signal
      process.exit(codeOf(signal))
    })
  process.on('exit', () => {
    const words = second === null ? '' : lastWords()
    if (words !== '') stderr.write(`${words}\n`)
    stdout.flushNow()
    stderr.flushNow()
  })
  // What came while the bundle was loading counts too.
  if (early.signal !== null) cancelBy(early.signal)
  return {
    cancel: cancel.signal,
    exitCode: () => (first === null ? null : codeOf(first)),
    atOnce: words => {
      lastWords = words
    },
  }
}
