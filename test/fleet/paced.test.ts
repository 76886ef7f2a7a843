import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { pace } from '../../src/fleet/paced.ts'
import { type Sshd, startSshd } from '../support/sshd.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { waitUntil } from '../support/wait-until.ts'
import { fleetOf, forever, serverAt } from './reach.ts'

const kB = 1024
const window = 2048 * kB

/** Sends for so many seconds over a line of `rate` bytes per second that answers after `rtt`, in steps of 10 ms. */
function send(rate: number, { seconds = 60, rtt = 0.02, told = (taken: number) => taken } = {}) {
  const pacing = pace(window)
  const arrived: number[] = []
  let [sent, taken, most] = [0, 0, 0]
  for (let step = 0; step < seconds * 100; step++) {
    const now = step / 100
    taken = Math.min(sent, taken + rate / 100)
    arrived.push(taken)
    const known = told(arrived[Math.max(0, step - Math.round(rtt * 100))] ?? 0)
    for (let i = 0; i < 64 && sent - known < window && pacing.mayGo(sent, window - (sent - known), now); i++)
      sent += 32 * kB
    if (now > seconds / 2) most = Math.max(most, (sent - taken) / rate)
  }
  return { rate: taken / seconds, wait: most }
}

describe('the pace of an upload', () => {
  it('keeps what waits in front of a renewal to a few seconds of the line, however slow', () => {
    for (const rate of [20, 50, 100, 500, 5_000]) expect(send(rate * kB).wait).toBeLessThan(8)
    expect(send(50 * kB).wait).toBeLessThan(4)
  })
  it('uses all of a line, also a long one', () => {
    for (const rate of [20, 50, 500, 5_000]) expect(send(rate * kB).rate).toBeGreaterThan(rate * kB * 0.9)
    // the window is what bounds it: 2 MiB in each 0.3 s
    expect(send(100_000 * kB, { rtt: 0.3 }).rate).toBeGreaterThan((window / 0.3) * 0.7)
  })
  it('does not stand still with a server that says only each half window what it took', () => {
    const half = window / 2
    const { rate } = send(500 * kB, { seconds: 240, told: taken => Math.floor(taken / half) * half })
    expect(rate).toBeGreaterThan(250 * kB)
  })
})

describe('an upload to a real server', () => {
  let sshd: Sshd
  beforeAll(async () => {
    sshd = await startSshd()
  })
  afterAll(() => sshd.stop())

  /** An input without end that counts what was taken of it. */
  function endless() {
    let taken = 0
    const input = new Readable({
      read() {
        taken += 65536
        this.push(Buffer.alloc(65536))
      },
    })
    return { input, taken: () => taken }
  }

  it('puts little under way to a script that does not read it', async () => {
    const fleet = fleetOf([sshd])
    const connection = await fleet.connect(serverAt(sshd), forever)
    const { input, taken } = endless()
    await connection.send('sleep 1', input, { signal: forever, timeout: 60 })
    expect(taken()).toBeGreaterThan(64 * kB)
    expect(taken()).toBeLessThan(768 * kB) // a window alone is 2 MiB
    fleet.close()
  })

  it('lets a script beside it get through on a slow line, with less than a window before it', {
    timeout: 180_000,
  }, async () => {
    const line = await startTcpProxy(sshd.port, 100_000)
    const fleet = fleetOf([sshd], { strict: false, knownHosts: null, warn: () => {} })
    const connection = await fleet.connect(serverAt(sshd, { port: line.port }), forever)
    const { input, taken } = endless()
    const cancel = new AbortController()
    const upload = connection.send('cat >/dev/null', input, { signal: cancel.signal, timeout: 600 })
    await waitUntil('the line is full', () => taken() > 512 * kB, 100_000)
    let most = 0
    const looking = setInterval(() => {
      most = Math.max(most, taken() - line.passed())
    }, 10)
    expect(await connection.run('echo renewed', { signal: forever, timeout: 100 })).toMatchObject({
      stdout: 'renewed\n',
    })
    clearInterval(looking)
    expect(most).toBeGreaterThan(0)
    expect(most).toBeLessThan(1024 * kB)
    cancel.abort()
    expect(await upload).toMatchObject({ ended: 'cancelled' })
    fleet.close()
    await line.stop()
  })
})
