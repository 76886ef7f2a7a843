/** What a script prints: told as it comes, kept for the result, and known to be complete or not. */
import { StringDecoder } from 'node:string_decoder'
import type { ClientChannel } from 'ssh2'
import type { Output, RunOptions } from './connection.ts'
import { framedOutput } from './framed-output.ts'
import { keptOutput } from './kept-output.ts'

/** Bytes of each stream that are kept by default: 1 MiB. */
const keepByDefault = 1024 * 1024
/** Milliseconds, however much a script that was killed goes on printing. */
const longestDrain = 15_000

export interface ScriptOutput {
  /** The process group, once the script was started. */
  group(): number | null
  /** What the login shell printed when no script was started. */
  before(): string
  /** After the script's end: resolves when its output is complete, by its end marks or after `quiet` milliseconds of silence. */
  drained(quiet: number): Promise<void>
  /** Nothing more comes. */
  end(): { readonly stdout: string; readonly stderr: string }
}

function oneStream(stream: Output['stream'], token: string, { keep = keepByDefault, onOutput }: RunOptions) {
  const decoder = new StringDecoder('utf8')
  const kept = keptOutput(keep)
  const tell = (text: string) => {
    if (text !== '') onOutput?.({ stream, text })
  }
  const frame = framedOutput(token, bytes => {
    kept.add(bytes)
    tell(decoder.write(bytes))
  })
  return {
    frame,
    end: () => {
      frame.end()
      tell(decoder.end())
      return kept.text()
    },
  }
}

/** Listens to both streams of `channel` for the script with `token`. */
export function scriptOutput(channel: ClientChannel, token: string, options: RunOptions): ScriptOutput {
  const out = oneStream('out', token, options)
  const err = oneStream('err', token, options)
  const complete = () => out.frame.complete() && err.frame.complete()
  /** Told of each piece that arrives, and of the channel's end. */
  let arrived = (_what: 'piece' | 'end'): void => undefined

  channel.on('data', (chunk: Buffer) => {
    out.frame.push(chunk)
    arrived('piece')
  })
  channel.stderr.on('data', (chunk: Buffer) => {
    err.frame.push(chunk)
    arrived('piece')
  })
  let closed = false
  channel.once('close', () => {
    closed = true
    arrived('end')
  })

  return {
    group: () => out.frame.group(),
    before: () => Buffer.concat([out.frame.before(), err.frame.before()]).toString('utf8').trim(),
    end: () => ({ stdout: out.end(), stderr: err.end() }),
    drained: quiet =>
      new Promise(resolve => {
        const done = () => {
          clearTimeout(silence)
          clearTimeout(limit)
          arrived = () => undefined
          resolve()
        }
        let pieces = 0
        // Where this process stood still, its timers come before what arrived meanwhile: that is read before the immediate.
        const unlessMore = () => {
          const before = pieces
          setImmediate(() => before === pieces && done())
        }
        const limit = setTimeout(() => setImmediate(done), longestDrain)
        let silence = setTimeout(unlessMore, quiet)
        arrived = what => {
          if (what === 'end' || complete()) return done()
          pieces++
          clearTimeout(silence)
          silence = setTimeout(unlessMore, quiet)
        }
        if (closed || complete()) done()
      }),
  }
}
