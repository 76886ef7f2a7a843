import { Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import type { Clock } from '../../src/clock.ts'
import { LockLostError } from '../../src/errors.ts'
import type { Connection, RunResult } from '../../src/fleet/connection.ts'
import type { Server } from '../../src/manifest/manifest.ts'
import type { Probe, ProbeNeeds } from '../../src/release/probe.ts'
import { openSession } from '../../src/rollout/session.ts'

/** Its timers come later than everything else, as those of a process do that was stopped while it waited for its connections. */
function lateClock() {
  let now = 0
  const clock: Clock = {
    now: () => now,
    wall: () => now,
    sleep: (_, signal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true })),
  }
  return {
    clock,
    stoppedFor(seconds: number) {
      now += seconds * 1000
    },
  }
}

function sessionOn(run: () => Promise<RunResult>) {
  const late = lateClock()
  const connection: Connection = {
    run,
    send: run,
    connect: () => Promise.reject(new Error('not here')),
    close: () => undefined,
    closed: new AbortController().signal,
  } as unknown as Connection
  const session = openSession({
    server: { name: 'web1' } as Server,
    site: { application: 'shop', environment: 'production', releasePath: '/srv/shop' },
    owner: { token: '0123456789abcdef' },
    probe: {} as Probe,
    needs: {} as ProbeNeeds,
    connect: async () => connection,
    clock: late.clock,
    cancel: new AbortController().signal,
    takenAt: { now: 0, wall: 0 },
  })
  return { session, ...late }
}

const ended = (code: number): RunResult => ({ ended: 'exit', code, stdout: '', stderr: 'Terminated' })

describe('a process that was stopped for longer than its lease', () => {
  it.each([143, 0])(
    'takes a script’s end that it finds on waking (exit code %i) for a lock that is lost',
    async code => {
      const { promise, resolve } = Promise.withResolvers<RunResult>()
      const { session, stoppedFor } = sessionOn(() => promise)
      const running = [
        session.run('sleep 90', { timeout: 100 }),
        session.send('cat', Readable.from(['x']), { timeout: 100 }),
      ]
      const all = Promise.allSettled(running)
      await new Promise(done => setImmediate(done)) // both have been sent
      stoppedFor(120)
      resolve(ended(code))
      for (const one of await all) {
        expect(one.status).toBe('rejected')
        expect(one.status === 'rejected' && one.reason).toBeInstanceOf(LockLostError)
      }
      expect(session.lost()).toBe(true)
      expect(session.signal.aborted).toBe(true)
    },
  )
  it('takes an answer within its lease for what it is', async () => {
    const { session, stoppedFor } = sessionOn(async () => ended(143))
    stoppedFor(40)
    expect(await session.run('false', { timeout: 100 })).toMatchObject({ ended: 'exit', code: 143 })
  })
})
