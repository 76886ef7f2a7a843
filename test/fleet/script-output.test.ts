import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { PassThrough } from 'node:stream'
import type { ClientChannel } from 'ssh2'
import { expect, it } from 'vitest'
import { scriptOutput } from '../../src/fleet/script-output.ts'
import { forever } from './reach.ts'

it('what arrived while this process stood still counts, though its time is over', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [[there]] = await Promise.all([once(server, 'connection'), once(socket, 'connect')])
  const channel = Object.assign(socket, { stderr: new PassThrough() }) as unknown as ClientChannel
  const output = scriptOutput(channel, 'a1b2', { signal: forever, timeout: 60 })
  there.write('<a1b2 4711\nhello\n>a1b2\n')
  const drained = output.drained(20)
  const end = performance.now() + 100
  while (performance.now() < end);
  await drained
  expect([output.group(), output.end().stdout]).toEqual([4711, 'hello\n'])
  socket.destroy()
  there.destroy()
  server.close()
})
