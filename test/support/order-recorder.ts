/**
 * HAProxy's admin socket over TCP, a few calls at a time, as HAProxy takes no more. A line of a file says what was carried out: `server
 * state`, before whoever asked is answered. A process of its own: it answers also while a test is busy with hundreds of SSH servers.
 */
import { appendFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { slots } from '../../src/fleet/slots.ts'

const [, , socket = '', file = ''] = process.argv
const places = slots(4)

const exchange = (client: Socket, asked: string) =>
  new Promise<void>(resolve => {
    const upstream = connect(socket)
    upstream.on('error', () => client.destroy())
    upstream.once('close', () => resolve())
    upstream.on('data', data => client.write(data))
    upstream.once('end', () => {
      for (const [, name, state] of asked.matchAll(/set server app\/(\S+) state (\w+)/g))
        appendFileSync(file, `${name} ${state}\n`)
      client.end()
    })
    upstream.write(asked)
  })

const server = createServer({ allowHalfOpen: true }, client => {
  client.on('error', () => undefined)
  let asked = ''
  client.on('data', data => {
    asked += data.toString()
    if (asked.endsWith('\n')) void places.run(() => exchange(client, asked))
  })
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  process.send?.({ port: typeof address === 'object' ? address?.port : undefined })
})
process.once('disconnect', () => process.exit())
