/** Many questions at once to a real HAProxy, which takes ten connections at a time, lets some wait and refuses the rest. */
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { unthrottled } from '../../src/balancers/backing-off.ts'
import { type AdminSocket, ask } from '../../src/balancers/haproxy-socket.ts'
import { systemClock } from '../../src/clock.ts'
import { BalancerError } from '../../src/errors.ts'
import { type Haproxy, startHaproxy } from '../support/haproxy.ts'
import { fill } from './haproxy-full.ts'

let haproxy: Haproxy
beforeAll(async () => {
  const servers = Array.from({ length: 100 }, (_, i) => ({ name: `web${i}`, port: 9 }))
  haproxy = await startHaproxy({
    backends: { app: { servers, defaultServer: 'weight 1' } },
    extra: ['global', '  stats timeout 5m'],
  })
})
afterAll(() => haproxy.stop())

const never = new AbortController().signal

/** As a runner of its own reaches it, counting. */
function runner() {
  const seen = { open: 0, most: 0, refused: 0 }
  const open = () =>
    new Promise<Duplex>((resolve, reject) => {
      const stream = connect(haproxy.socket)
      stream.once('error', error => {
        seen.refused++
        reject(error)
      })
      stream.once('connect', () => {
        seen.open++
        seen.most = Math.max(seen.most, seen.open)
        stream.removeAllListeners('error')
        stream.once('close', () => seen.open--)
        resolve(stream)
      })
    })
  return { seen, socket: { where: 'lb1', open } satisfies AdminSocket }
}
const question = 'show servers state app; show stat app 4 -1'

it('asks a few at a time, however many servers there are', async () => {
  const { seen, socket } = runner()
  const answers = await Promise.all(Array.from({ length: 200 }, () => ask(socket, question, never)))
  expect(answers.every(text => text.includes('web99'))).toBe(true)
  expect(seen.most).toBeLessThanOrEqual(4)
  expect(seen.refused).toBe(0)
})

/** Time stands still for who asks how long it has been asking: only the answer ends it. */
const patience = { clock: { ...systemClock, now: () => 0 }, signal: never }
const askAgain = (socket: AdminSocket) => unthrottled(patience, 60_000, () => ask(socket, question, never))

it('is answered although other runners take all places: who is refused is told to come again', async () => {
  const runners = Array.from({ length: 16 }, runner)
  const answers = await Promise.all(runners.flatMap(({ socket }) => Array.from({ length: 20 }, () => askAgain(socket))))
  expect(answers.every(text => text.includes('web99'))).toBe(true)
})

it('does not wait by itself while all places are taken, and is answered by asking again when one is free', async () => {
  const { seen, socket } = runner()
  const release = await fill(haproxy.socket)
  const error = await ask(socket, question, never).catch((e: unknown) => e)
  expect(error).toBeInstanceOf(BalancerError)
  expect(error).toMatchObject({ retryAfterMs: 25, hint: undefined })
  expect(seen.refused).toBe(1)
  const answer = askAgain(socket)
  while (seen.refused < 3) await systemClock.sleep(5, never)
  release()
  expect(await answer).toContain('web99')
})

it('does not try again where nobody listens', async () => {
  let tries = 0
  const open = () =>
    new Promise<Duplex>((_, reject) => {
      tries++
      connect('/nonexistent/admin.sock').once('error', reject)
    })
  const error = await ask({ where: 'lb1', open }, question, never).catch((e: unknown) => e)
  expect(error).toMatchObject({ message: expect.stringMatching(/does not answer.*ENOENT/), retryAfterMs: undefined })
  expect(error).toMatchObject({ hint: expect.stringContaining('the socket has to exist there') })
  expect(tries).toBe(1)
})

it('gives its place to the next when a question is cancelled', async () => {
  const { socket } = runner()
  const cancel = new AbortController()
  const asked = Array.from({ length: 12 }, () => ask(socket, question, cancel.signal))
  cancel.abort(new Error('cancelled'))
  expect((await Promise.allSettled(asked)).every(r => r.status === 'rejected')).toBe(true)
  expect(await askAgain(socket)).toContain('web1')
})
