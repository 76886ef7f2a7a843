/**
 * TCP ports of the loopback interface that nobody listens on, for servers that are started later. They lie below those that the kernel
 * gives to outgoing connections (ip(7), ip_local_port_range), or a connection could have one before its server does; and in a block that
 * this process holds, by listening on the block's first port, so that no other test is given them.
 */
import { createServer, type Server } from 'node:net'

const [lowest, highest, blockSize] = [20_000, 32_000, 100]

const listen = (port: number): Promise<Server | null> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', error => ('code' in error && error.code === 'EADDRINUSE' ? resolve(null) : reject(error)))
    server.listen(port, '127.0.0.1', () => resolve(server))
  })

async function holdBlock(): Promise<number> {
  for (;;) {
    const first = lowest + Math.floor((Math.random() * (highest - lowest)) / blockSize) * blockSize
    const server = await listen(first)
    if (server === null) continue
    server.unref()
    return first
  }
}

async function* ports(): AsyncGenerator<number, never> {
  for (;;) {
    const first = await holdBlock()
    for (let port = first + 1; port < first + blockSize; port++) {
      const server = await listen(port)
      if (server === null) continue
      await new Promise(resolve => server.close(resolve))
      yield port
    }
  }
}
const given = ports()

/** Another one each time. */
export const freePort = async (): Promise<number> => (await given.next()).value
