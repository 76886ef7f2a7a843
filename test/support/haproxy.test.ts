import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { type Haproxy, startHaproxy } from './haproxy.ts'
import { isRunning } from './processes.ts'
import { waitUntil } from './wait-until.ts'

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

const backend = async (text: string): Promise<number> => {
  const server: Server = createServer((_, response) => response.end(text))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  closers.push(
    () => server.closeAllConnections(),
    () => server.close(),
  )
  return (server.address() as AddressInfo).port
}
const start = async (): Promise<Haproxy> => {
  const [one, two] = [await backend('one'), await backend('two')]
  const servers = [
    { name: 'web1', port: one },
    { name: 'web2', port: two },
  ]
  const haproxy = await startHaproxy({ backends: { app: { servers }, other: { servers: servers.slice(0, 1) } } })
  closers.push(haproxy.stop)
  await waitUntil('web1 and web2 are up', async () => {
    const states = [await haproxy.status('app', 'web1'), await haproxy.status('app', 'web2')]
    return states.every(s => s === 'UP')
  })
  return haproxy
}
const answers = async (haproxy: Haproxy, port = haproxy.port) =>
  new Set(await Promise.all([1, 2, 3, 4].map(async () => (await fetch(`http://127.0.0.1:${port}/`)).text())))

describe('a test HAProxy', () => {
  it('balances over its servers, and stops sending to a drained one', async () => {
    const haproxy = await start()
    expect(await answers(haproxy)).toEqual(new Set(['one', 'two']))
    expect(await answers(haproxy, haproxy.ports['other'])).toEqual(new Set(['one']))
    await haproxy.command('set server app/web1 state drain')
    expect(await haproxy.status('app', 'web1')).toBe('DRAIN')
    expect(await haproxy.asSet('app')).toEqual({ web1: 'drain', web2: 'ready' })
    expect(await answers(haproxy)).toEqual(new Set(['two']))
  })

  it('forgets runtime states when it is reloaded', async () => {
    const haproxy = await start()
    await haproxy.command('set server app/web1 state maint')
    await haproxy.reload()
    await waitUntil('web1 is up again', async () => (await haproxy.status('app', 'web1')) === 'UP')
  })

  it('is gone after stop', async () => {
    const haproxy = await start()
    await haproxy.stop()
    expect(isRunning(haproxy.pid)).toBe(false)
  })
})
