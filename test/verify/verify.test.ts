import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server as HttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Server as NetServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { VerifyError } from '../../src/errors.ts'
import type { Connection } from '../../src/fleet/connection.ts'
import { stepScript } from '../../src/fleet/step-script.ts'
import type { Check, HttpCheck } from '../../src/manifest/schema.ts'
import { tryHttp } from '../../src/verify/http.ts'
import { tryTcp } from '../../src/verify/tcp.ts'
import { verify } from '../../src/verify/verify.ts'
import { server } from '../balancers/fixtures.ts'
import { freePort } from '../support/free-port.ts'
import { plainConnection } from '../support/plain-connection.ts'
import { type Sshd, startSshd } from '../support/sshd.ts'

const signal = new AbortController().signal

const portOf = (listening: NetServer): number => {
  const address = listening.address()
  if (typeof address !== 'object' || address === null) throw new Error('no port was given')
  return address.port
}
const listen = async (listening: HttpServer | ReturnType<typeof createTlsServer>) => {
  await new Promise<void>(resolve => listening.listen(0, '127.0.0.1', resolve))
  return portOf(listening)
}

function application(request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', 'http://localhost')
  switch (url.pathname) {
    case '/up':
      response.setHeader('x-release', 'r42').end(`up for ${request.headers.host} ${request.headers['x-key'] ?? ''}`)
      return
    case '/status':
      response.writeHead(Number(url.searchParams.get('is'))).end('as asked for')
      return
    case '/never':
      return
    case '/reset':
      request.socket.destroy()
      return
    case '/endless':
      response.write('x'.repeat(70_000))
      setImmediate(function more() {
        if (response.destroyed) return
        // No faster than it is read: what nobody has read yet would fill the memory.
        if (response.write('x'.repeat(70_000))) setImmediate(more)
        else response.once('drain', more)
      })
      return
    case '/here':
      response.writeHead(302, { location: '/up' }).end()
      return
    case '/elsewhere':
      response.writeHead(302, { location: 'http://elsewhere.example/up' }).end()
      return
    case '/loop':
      response.writeHead(302, { location: '/loop' }).end()
      return
    default:
      response.writeHead(404).end('nothing here')
  }
}

let open: Sshd
let closed: Sshd
let forwarding: Connection
let forbidden: Connection
let app: HttpServer
let port: number
beforeAll(async () => {
  open = await startSshd({ name: 'web1' })
  closed = await startSshd({ name: 'web2', config: ['AllowTcpForwarding no'] })
  forwarding = await plainConnection(open)
  forbidden = await plainConnection(closed)
  app = createServer(application)
  port = await listen(app)
})
afterAll(async () => {
  for (const connection of [forwarding, forbidden]) connection?.close()
  app?.close()
  app?.closeAllConnections()
  await open?.stop()
  await closed?.stop()
})

const http = (more: Partial<HttpCheck> = {}): HttpCheck => ({
  port,
  path: '/up',
  scheme: 'http',
  method: 'GET',
  headers: {},
  follow_redirects: false,
  expect: { status: [{ from: 200, to: 299 }], header: {} },
  ...more,
})
const expecting = (more: Partial<HttpCheck['expect']>) => ({ expect: { ...http().expect, ...more } })
const check = (more: Partial<Check>): Check => ({
  roles: [],
  interval: 0.05,
  request_timeout: 60,
  timeout: 0,
  healthy_for: 0,
  ...more,
})

describe.each([
  ['through the SSH connection', () => forwarding],
  ['by curl where forwarding is forbidden', () => forbidden],
])('an HTTP check %s', (_, connection) => {
  const ask = (more: Partial<HttpCheck> = {}, seconds = 10) => tryHttp(http(more), connection(), seconds, signal)

  it('is good for an answer in the range', async () => {
    expect(await ask()).toEqual({ is: 'good', detail: 'answered 200' })
    expect(await ask({ path: '/status?is=418', ...expecting({ status: [{ from: 418, to: 418 }] }) })).toMatchObject({
      is: 'good',
    })
  })

  it('asks with its host and headers, and reads header and body', async () => {
    const headers = { 'x-key': `it's "quoted" \\ $HOME` }
    const body = `up for shop.example:8080 ${headers['x-key']}`
    expect(await ask({ host: 'shop.example:8080', headers, ...expecting({ body }) })).toMatchObject({ is: 'good' })
    expect(await ask(expecting({ header: { 'X-Release': 'r42' } }))).toMatchObject({ is: 'good' })
    expect(await ask(expecting({ header: { 'X-Release': 'r43' } }))).toEqual({
      is: 'not yet',
      detail: 'answered 200 with X-Release: r42',
    })
    expect(await ask(expecting({ body: 'r43' }))).toMatchObject({
      is: 'not yet',
      detail: expect.stringContaining('up for localhost'),
    })
  })

  it('asks by HEAD', async () => {
    expect(await ask({ method: 'HEAD', ...expecting({ header: { 'x-release': 'r42' } }) })).toMatchObject({
      is: 'good',
    })
  })

  it.each([
    [500, 'not yet'],
    [503, 'not yet'],
    [302, 'not yet'],
    [401, 'wrong'],
    [403, 'wrong'],
    [404, 'wrong'],
  ])('takes %i for "%s"', async (status, is) => {
    expect(await ask({ path: `/status?is=${status}` })).toEqual({ is, detail: `answered ${status}: as asked for` })
  })

  it('takes refused, reset and no answer in time for "not yet"', async () => {
    expect(await ask({ port: await freePort() })).toMatchObject({ is: 'not yet' })
    expect(await ask({ path: '/reset' })).toMatchObject({ is: 'not yet' })
    expect(await ask({ path: '/never' }, 1)).toMatchObject({ is: 'not yet' })
  })

  it('follows a redirect only where it was told to, and never to another host', async () => {
    expect(await ask({ path: '/here' })).toMatchObject({ is: 'not yet', detail: 'answered 302' })
    expect(await ask({ path: '/here', follow_redirects: true })).toMatchObject({ is: 'good' })
    expect(await ask({ path: '/elsewhere', follow_redirects: true })).toMatchObject({ detail: 'answered 302' })
    expect(await ask({ path: '/loop', follow_redirects: true })).toMatchObject({ detail: 'answered 302' })
  })

  it('reads no more than it needs of a body without end', async () => {
    expect(await ask({ path: '/endless', ...expecting({ body: 'y' }) })).toMatchObject({
      is: 'not yet',
      detail: expect.stringContaining('without the expected text'),
    })
  })

  it('takes a certificate that is not trusted for a wrong check', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'verify-'))
    const [key, cert] = [join(directory, 'key'), join(directory, 'cert')]
    const subject = ['-subj', '/CN=shop.example', '-addext', 'subjectAltName=DNS:shop.example']
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-days',
        '2',
        '-keyout',
        key,
        '-out',
        cert,
        ...subject,
      ],
      { stdio: 'ignore' },
    )
    const tls = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, application)
    const tlsPort = await listen(tls)
    try {
      const result = await ask({ scheme: 'https', port: tlsPort, host: 'shop.example' })
      expect(result.is).toBe('wrong')
      expect(result.detail).toMatch(/self.signed|certificate/i)
    } finally {
      tls.close()
      tls.closeAllConnections()
      rmSync(directory, { recursive: true })
    }
  })
})

describe('a TCP check', () => {
  it.each([
    ['through the SSH connection', () => forwarding],
    ['where forwarding is forbidden', () => forbidden],
  ])('tells accepted from refused, %s', async (_, connection) => {
    expect(await tryTcp(port, connection(), 10, signal)).toMatchObject({ is: 'good' })
    expect(await tryTcp(await freePort(), connection(), 10, signal)).toMatchObject({ is: 'not yet' })
  })
})

describe('a server', () => {
  const deps = () => ({
    connection: forwarding,
    script: (script: string) =>
      stepScript({ script, shell: 'sh', env: { DEPLOY_SERVER: 'web1' }, secrets: {}, directory: '~' }),
  })
  const run = (checks: readonly Check[]) => verify(checks, server('web1'), deps(), systemClock, signal)

  it('is good when every check that selects it is', async () => {
    const verified = await run([
      check({ http: http() }),
      check({ tcp: { port } }),
      check({ command: 'test "$DEPLOY_SERVER" = web1' }),
      check({ roles: ['worker'], command: 'false' }),
    ])
    expect(verified.map(v => v.check)).toEqual([
      `GET http :${port}/up`,
      `tcp :${port}`,
      'command: test "$DEPLOY_SERVER" = web1',
    ])
  })

  it('is not verified when no check selects it', async () => {
    expect(await run([check({ roles: ['worker'], command: 'false' })])).toEqual([])
  })

  it('fails with the first check that fails, and does not wait for the others', async () => {
    const error = await run([
      check({ command: 'echo "no worker" >&2; exit 4' }),
      check({ http: http({ path: '/never' }), request_timeout: 3600, timeout: 3600 }),
    ]).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(VerifyError)
    expect((error as VerifyError).message).toMatch(/^web1: command: echo .*exit 4: no worker$/)
  })
})
