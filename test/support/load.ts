/** Keep-alive load from a process of its own: who answered when, and what failed. */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Row } from './load-process.ts'
import { waitUntil } from './wait-until.ts'

export interface Answer {
  /** Milliseconds since 1970. */
  readonly at: number
  readonly server: string
  readonly release: string
}

export interface LoadReport {
  readonly served: number
  readonly failed: number
  /** How often each kind of failure came: ECONNRESET, ECONNREFUSED, timeout, `status 503`, … */
  readonly problems: Readonly<Record<string, number>>
  readonly byRelease: Readonly<Record<string, number>>
  readonly byServer: Readonly<Record<string, number>>
  /** What was served, in order. */
  readonly timeline: readonly Answer[]
  /** Requests that had to be asked again; 0 without `askAgain`. */
  readonly askedAgain: number
}

export interface Load {
  /** Requests ended so far, good or not; up to 50 ms old. */
  count(): number
  /** Resolves after `n` further requests. */
  more(n: number): Promise<void>
  /** Lets running requests end and gives the whole account. */
  stop(): Promise<LoadReport>
}

export interface LoadOptions {
  readonly clients?: number
  /** Between two requests of a client. */
  readonly pauseMs?: number
  /** A request that took longer has failed. */
  readonly timeoutMs?: number
  /** Ask again on a new connection when a kept one was reset before an answer, as browsers do; default false. */
  readonly askAgain?: boolean
  /** Clients keep cookies, as browsers do; default false. */
  readonly cookies?: boolean
}

const tally = (words: readonly string[]): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1
  return counts
}

function report(rows: readonly Row[], askedAgain: number): LoadReport {
  const good = rows.filter(row => row[3] === '')
  const bad = rows.filter(row => row[3] !== '')
  return {
    served: good.length,
    failed: bad.length,
    problems: tally(bad.map(row => row[3])),
    byRelease: tally(good.map(row => row[2])),
    byServer: tally(good.map(row => row[1])),
    timeline: good.map(([at, server, release]) => ({ at, server, release })),
    askedAgain,
  }
}

/** Starts `clients` (12) clients that each ask, wait 25 ms and ask again on one connection: hundreds of requests a second in all. */
export async function startLoad(url: string, options: LoadOptions = {}): Promise<Load> {
  const child = fork(fileURLToPath(new URL('load-process.ts', import.meta.url)), {
    execArgv: ['--disable-warning=MODULE_TYPELESS_PACKAGE_JSON'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  let count = -1
  let askedAgain = 0
  const ended = new Promise<readonly Row[]>((resolve, reject) => {
    child.on('message', (message: { count?: number; rows?: Row[]; askedAgain?: number }) => {
      if (message.count !== undefined) count = message.count
      askedAgain = message.askedAgain ?? askedAgain
      if (message.rows !== undefined) resolve(message.rows)
    })
    child.once('exit', code => reject(new Error(`the load generator ended with ${code}`)))
  })
  ended.catch(() => undefined)
  child.send({
    url,
    clients: options.clients ?? 12,
    pauseMs: options.pauseMs ?? 25,
    timeoutMs: options.timeoutMs ?? 10_000,
    askAgain: options.askAgain ?? false,
    cookies: options.cookies ?? false,
  })
  await Promise.race([ended, waitUntil('the load generator starts', () => count >= 0)])
  return {
    count: () => count,
    more: async n => {
      const from = count
      await Promise.race([ended, waitUntil(`${n} more requests`, () => count >= from + n, 120_000)])
    },
    stop: async () => {
      child.send('stop')
      return report(await ended, askedAgain)
    },
  }
}

/** Short requests, hundreds a second, and slow ones, so that at any moment some are in flight on every server. */
export async function startLoads(url: string, options: LoadOptions = {}) {
  const [short, slow] = await Promise.all([startLoad(url, options), startLoad(`${url}slow?ms=300`, options)])
  return {
    more: (n: number) => short.more(n),
    stop: async () => {
      const reports = await Promise.all([short.stop(), slow.stop()])
      return { short: reports[0], slow: reports[1] }
    },
  }
}
