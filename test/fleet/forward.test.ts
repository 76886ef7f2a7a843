import { mkdtempSync, rmSync } from 'node:fs'
import { createServer as createHttpServer, type Server as HttpServer, request } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ConnectionError } from '../../src/errors.ts'
import type { Connection } from '../../src/fleet/connection.ts'
import type { Fleet } from '../../src/fleet/fleet.ts'
import { freePort } from '../support/free-port.ts'
import { type Sshd, startSshd } from '../support/sshd.ts'
import { failure, fleetOf, forever, serverAt } from './reach.ts'

const root = mkdtempSync(join(tmpdir(), 'forward-'))
const socketPath = join(root, 'echo.sock')
const echo = createServer(socket => socket.pipe(socket))
let web: HttpServer
let port: number
let sshd: Sshd
let fleet: Fleet
let connection: Connection

beforeAll(async () => {
  web = createHttpServer((req, res) => res.end(`${req.method} ${req.url} ${req.headers.host}`))
  await new Promise<void>(resolve => web.listen(0, '127.0.0.1', resolve))
  const address = web.address()
  if (address === null || typeof address === 'string') throw new Error('a port was expected')
  port = address.port
  await new Promise<void>(resolve => echo.listen(socketPath, resolve))
  sshd = await startSshd()
  fleet = fleetOf([sshd])
  connection = await fleet.connect(serverAt(sshd), forever)
})
afterAll(async () => {
  fleet.close()
  await sshd.stop()
  web.closeAllConnections()
  web.close()
  echo.close()
  rmSync(root, { recursive: true, force: true })
})

/** A GET over a stream, as node:http does it, with a timeout set, which asks for what only sockets have. */
const get = (stream: Duplex) =>
  new Promise<string>((resolve, reject) => {
    const req = request(
      { path: '/up', headers: { host: 'app.example.com' }, timeout: 5000, createConnection: () => stream },
      res => {
        let body = ''
        res.setEncoding('utf8')
        res.on('data', (text: string) => {
          body += text
        })
        res.on('end', () => resolve(body))
      },
    )
    req.on('error', reject)
    req.setNoDelay(true)
    req.setSocketKeepAlive(true)
    req.end()
  })

describe('a forwarded connection', () => {
  it('carries HTTP to a port of the server', async () => {
    expect(await get(await connection.forward(port, forever))).toBe('GET /up app.example.com')
  })

  it('may be one of many at once, beside scripts: the limit of sessions is not theirs', async () => {
    const script = connection.run('sleep 1; echo done', { signal: forever, timeout: 60 })
    const answers = await Promise.all(
      Array.from({ length: 30 }, async () => get(await connection.forward(port, forever))),
    )
    expect(new Set(answers)).toEqual(new Set(['GET /up app.example.com']))
    expect((await script).stdout).toBe('done\n')
  })

  it('carries bytes to a unix socket and back', async () => {
    const stream = await connection.forwardSocket(socketPath, forever)
    const answer = new Promise<string>(resolve => {
      let text = ''
      stream.on('data', (d: Buffer) => {
        text += d.toString()
      })
      stream.on('end', () => resolve(text))
    })
    stream.end('show stat\n')
    expect(await answer).toBe('show stat\n')
  })

  it('to a port on which nobody listens is an error with the reason', async () => {
    const closed = await freePort()
    const error = await failure(connection.forward(closed, forever), ConnectionError)
    expect(error.message).toContain(`127.0.0.1 port ${closed}`)
    expect(error.message).toContain('Connection refused')
    expect(error.server).toBe(sshd.name)
  })

  it('to a socket that is not there is an error that names it', async () => {
    const error = await failure(connection.forwardSocket(join(root, 'none.sock'), forever), ConnectionError)
    expect(error.message).toContain('none.sock')
    expect(error.hint).toContain('AllowStreamLocalForwarding')
  })

  it('is refused with the setting where the server forbids it', async () => {
    const strict = await startSshd({ config: ['AllowTcpForwarding no', 'AllowStreamLocalForwarding no'] })
    const closed = fleetOf([strict])
    const other = await closed.connect(serverAt(strict), forever)
    const tcp = await failure(other.forward(port, forever), ConnectionError)
    expect(tcp.message).toContain('forbids forwarding')
    expect(tcp.hint).toContain('AllowTcpForwarding yes')
    const unix = await failure(other.forwardSocket(socketPath, forever), ConnectionError)
    expect(unix.hint).toContain('AllowStreamLocalForwarding yes')
    expect(await other.run('true', { signal: forever, timeout: 60 })).toMatchObject({ code: 0 })
    closed.close()
    await strict.stop()
  })

  it('is not made once its signal is aborted, nor on a connection that is gone', async () => {
    await expect(connection.forward(port, AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough')
    const gone = await fleet.connect(serverAt(sshd, { name: 'gone' }), forever)
    gone.close()
    await failure(gone.forward(port, forever), ConnectionError)
  })
})
