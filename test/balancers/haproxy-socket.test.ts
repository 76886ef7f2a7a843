/** Many questions at once to a real HAProxy, which takes ten connections at a time, lets some wait and refuses the rest. */
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type AdminSocket, ask } from '../../src/balancers/haproxy-socket.ts'
import { type Haproxy, startHaproxy } from '../support/haproxy.ts'

let haproxy: Haproxy
beforeAll(async () => {
  const servers = Array.from({ length: 100 }, (_, i) => ({ name: `web${i}`, port: 9 }))
  haproxy = await startHaproxy({ backends: { app: { servers, defaultServer: 'weight 1' } } })
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

it('is answered although other runners take all places: a refused connection is tried again', async () => {
  const runners = Array.from({ length: 16 }, runner)
  const answers = await Promise.all(
    runners.flatMap(({ socket }) => Array.from({ length: 20 }, () => ask(socket, question, never))),
  )
  expect(answers.every(text => text.includes('web99'))).toBe(true)
})

it('does not try again where nobody listens', async () => {
  let tries = 0
  const open = () =>
    new Promise<Duplex>((_, reject) => {
      tries++
      connect('/nonexistent/admin.sock').once('error', reject)
    })
  await expect(ask({ where: 'lb1', open }, question, never)).rejects.toThrow(/does not answer.*ENOENT/)
  expect(tries).toBe(1)
})

it('gives its place to the next when a question is cancelled', async () => {
  const { socket } = runner()
  const cancel = new AbortController()
  const asked = Array.from({ length: 12 }, () => ask(socket, question, cancel.signal))
  cancel.abort(new Error('cancelled'))
  expect((await Promise.allSettled(asked)).every(r => r.status === 'rejected')).toBe(true)
  expect(await ask(socket, question, never)).toContain('web1')
})
