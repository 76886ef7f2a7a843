import { describe, expect, it } from 'vitest'
import { ConnectionError, LockLostError } from '../../src/errors.ts'
import type { Connection, RunResult } from '../../src/fleet/connection.ts'
import { LOCK_LOST } from '../../src/release/exit-codes.ts'
import { afterLosses } from '../../src/rollout/after-loss.ts'
import { fakeClock } from '../support/fake-clock.ts'

const site = { application: 'shop', environment: null, releasePath: '/srv/shop' }
const owner = { token: 'token-000000000001' }
const answer = (stdout: string): RunResult => ({ ended: 'exit', code: 0, stdout, stderr: '' })
const ended = answer('ended\t12\nlooked\tyes\n')
const refused = new ConnectionError('connection refused')

/** A server that answers what is asked after a loss with these, one after the other; the last for ever. */
function setting(answers: readonly (RunResult | Error)[]) {
  const clock = fakeClock()
  const lease = new AbortController()
  const log: string[] = []
  let n = 0
  let held = true
  const connection = (name: string): Connection => ({
    name,
    run: async () => {
      log.push('look')
      await new Promise(resolve => setImmediate(resolve))
      const said = answers[Math.min(n++, answers.length - 1)] ?? ended
      if (said instanceof Error) throw said
      return said
    },
    send: () => Promise.reject(new Error('nothing is sent')),
    forward: () => Promise.reject(new Error('nothing is forwarded')),
    forwardSocket: () => Promise.reject(new Error('nothing is forwarded')),
    closed: new AbortController().signal,
    close: () => log.push(`close ${name}`),
  })
  const losses = afterLosses({
    server: { name: 'web1' },
    site,
    owner,
    clock,
    connect: async () => connection('second'),
    assertHeld: () => {
      if (!held) throw new LockLostError('too little is left')
    },
  })
  return { losses, clock, lease, log, first: connection('first'), hold: (is: boolean) => (held = is) }
}

describe('after a connection was lost', () => {
  it('what ran there is ended once for all who ask, and before anything else begins', async () => {
    const { losses, log, first, lease } = setting([ended])
    losses.note(first)
    losses.note(first)
    const found = [losses.settle(lease.signal, 3), losses.settle(lease.signal, 3)]
    const next = losses.connection(lease.signal).then(c => log.push(`begins on ${c.name}`))
    expect(await Promise.all(found)).toEqual([
      { reached: true, ended: [12], stillRunning: [], known: true },
      { reached: true, ended: [12], stillRunning: [], known: true },
    ])
    await next
    expect(log).toEqual(['close first', 'close first', 'look', 'begins on second'])
  })
  it('it is tried three times, with time between for the line to come back', async () => {
    const { losses, log, first, lease, clock } = setting([refused, refused, ended])
    losses.note(first)
    expect(await losses.settle(lease.signal, 3)).toMatchObject({ reached: true, ended: [12] })
    expect([log.filter(l => l === 'look').length, clock.now()]).toEqual([3, 20_000])
  })
  it('and no more than three times; until it was seen, nothing else begins there', async () => {
    const { losses, log, first, lease } = setting([refused])
    losses.note(first)
    expect(await losses.settle(lease.signal, 3)).toEqual({ reached: false, tries: 3, reason: 'connection refused' })
    expect(log.filter(l => l === 'look').length).toBe(3)
    await expect(losses.connection(lease.signal)).rejects.toThrow(/could not be made again: connection refused/)
  })
  it('the tries end with the lease', async () => {
    const { losses, first, lease } = setting([refused])
    losses.note(first)
    const settled = losses.settle(lease.signal, 3)
    const over = new LockLostError('the lease is over')
    setImmediate(() => lease.abort(over))
    await expect(settled).rejects.toBe(over)
  })
  it('with little of the lease left it waits for a renewal before it begins', async () => {
    const { losses, log, first, lease, clock, hold } = setting([ended])
    hold(false)
    losses.note(first)
    const settled = losses.settle(lease.signal, 3)
    await clock.sleep(3500, lease.signal)
    expect(log).not.toContain('look')
    hold(true)
    expect(await settled).toMatchObject({ reached: true })
  })
  it('a lock that another holds now ends everything', async () => {
    const { losses, first, lease } = setting([{ ended: 'exit', code: LOCK_LOST, stdout: '', stderr: 'no longer ours' }])
    losses.note(first)
    await expect(losses.settle(lease.signal, 3)).rejects.toBeInstanceOf(LockLostError)
  })
  it('what cannot be ended is looked at again, until it is gone', async () => {
    const running = answer('alive\t12\nlooked\tyes\n')
    const { losses, first, lease } = setting([running, running, ended])
    losses.note(first)
    expect(await losses.settle(lease.signal, 3)).toMatchObject({ stillRunning: [12] })
    expect(await losses.stillRunning(lease.signal)).toEqual([12])
    expect(await losses.stillRunning(lease.signal)).toEqual([])
    expect(losses.seenRunning()).toEqual([])
  })
  it('without a loss nothing is asked', async () => {
    const { losses, log, lease } = setting([ended])
    expect((await losses.connection(lease.signal)).name).toBe('second')
    expect(await losses.stillRunning(lease.signal)).toEqual([])
    expect(log).toEqual([])
  })
})
