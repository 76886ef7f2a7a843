/** The script that watches a port, kept running on the server for as long as somebody wants to know. */
import type { Clock } from '../clock.ts'
import { endReader, lines, lookReader, watchScript } from './confirm-scripts.ts'
import type { KeptConnection } from './kept-connection.ts'
import { type How, type Traffic, trafficOf } from './traffic.ts'

export interface Watched {
  readonly port: number
  readonly how: How
  /** Seconds. */
  readonly quietFor: number
}

/** What is known just now: nothing is waited for. Both begin to watch, and throw why the script ended when it did, once. */
export interface TrafficWatch {
  quiet(): boolean
  arrived(atLast: boolean): boolean
  end(): void
}

/** A server that has not told anything for so long has not told in time, in milliseconds. Connecting is part of it. */
const silentMs = 30_000
const longestSeconds = 24 * 3600

interface Running {
  readonly traffic: Traffic
  readonly stop: AbortController
  heardAt: number
  over: Error | undefined
}

export function watchTraffic(at: KeptConnection, { port, how, quietFor }: Watched, clock: Clock): TrafficWatch {
  let current: Running | undefined

  function begin(): Running {
    const traffic = trafficOf(how, quietFor)
    const running: Running = { traffic, stop: new AbortController(), heardAt: clock.now(), over: undefined }
    let serverTime = 0
    const onLook = lines(
      lookReader(look => {
        running.heardAt = clock.now()
        serverTime = look.at
        traffic.look(look)
      }),
    )
    // The server's clock goes on between two looks.
    const onEnd = lines(endReader(seen => traffic.closed(seen, serverTime + (clock.now() - running.heardAt) / 1000)))
    let said = ''
    const { signal } = running.stop
    const watching = async () => {
      const result = await (await at.get(signal)).run(watchScript(port, how), {
        signal,
        timeout: longestSeconds,
        keep: 4096,
        onOutput: ({ stream, text }) => (stream === 'out' ? onLook(text) : onEnd(text)),
      })
      said = result.stderr.trim().slice(-200)
      throw new Error(result.ended === 'lost' ? `the connection was lost: ${result.reason}` : `it ended: ${said}`)
    }
    watching().catch((error: Error) => {
      running.over = error
    })
    return running
  }

  function running(): Running {
    current ??= begin()
    const silent = clock.now() - current.heardAt > silentMs
    const why = current.over ?? (silent ? new Error(`nothing was heard for ${silentMs / 1000} s`) : undefined)
    if (why === undefined) return current
    // What was seen until then proves nothing about now: the next question begins anew.
    current.stop.abort(why)
    current = undefined
    throw why
  }

  return {
    quiet: () => running().traffic.quiet(),
    arrived: atLast => running().traffic.arrived(atLast),
    end() {
      current?.stop.abort(new Error('the watch ended'))
      current = undefined
    },
  }
}
