import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { type RestApiFacts, type RestRequest, restApi } from '../../src/balancers/rest-api.ts'
import { RestError } from '../../src/balancers/rest-errors.ts'
import { BalancerError } from '../../src/errors.ts'

const signal = new AbortController().signal
const token = 'very-secret-token'

let answer: (request: IncomingMessage, response: ServerResponse) => void
const seen: { method: string; url: string; headers: IncomingMessage['headers']; body: string }[] = []
const server = createServer((request, response) => {
  let body = ''
  request.setEncoding('utf8').on('data', (data: string) => {
    body += data
  })
  request.once('end', () => {
    seen.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, body })
    answer(request, response)
  })
})
let base = ''
beforeAll(async () => {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('no port was given')
  base = `http://127.0.0.1:${address.port}/v1`
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

const facts = (more: Partial<RestApiFacts> = {}): RestApiFacts => ({
  name: 'edge',
  vendor: 'Cloud',
  env: { CLOUD_TOKEN: token, CLOUD_ENDPOINT: base },
  tokens: ['CLOUD_TOKEN', 'CLOUD_PAT'],
  base: { variable: 'CLOUD_ENDPOINT', usual: 'https://api.example.com' },
  ...more,
})
const schema = z.object({ id: z.number() })
const request = (more: Partial<RestRequest<typeof schema>> = {}): RestRequest<typeof schema> => ({
  method: 'GET',
  path: '/things/7',
  doing: 'read thing 7',
  wanted: 'thing 7',
  needs: 'things:read',
  answer: schema,
  ...more,
})
const says = (status: number, body: unknown, headers: Record<string, string> = {}) => {
  answer = (_, response) =>
    response.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body))
}
const failure = async (more: Partial<RestApiFacts> = {}, what: Partial<RestRequest<typeof schema>> = {}) => {
  const error = await restApi(facts(more))
    .call(request(what), signal)
    .then(
      () => new Error('it was no failure'),
      (e: unknown) => e,
    )
  if (!(error instanceof BalancerError)) throw error
  expect(`${error.message} ${error.hint} ${JSON.stringify(error)} ${error.stack} ${error.cause}`).not.toContain(token)
  return error
}

describe('a call', () => {
  it('sends the token, the query and the body, and gives back what the schema takes', async () => {
    says(200, { id: 7, more: 'x' }, { etag: '"1"' })
    const got = await restApi(facts()).call(
      request({ method: 'POST', query: { page: '2' }, body: { a: 1 }, headers: { 'if-match': '"0"' } }),
      signal,
    )
    expect(got.body).toEqual({ id: 7 })
    expect(got.headers.get('etag')).toBe('"1"')
    expect(seen.at(-1)).toMatchObject({
      method: 'POST',
      url: '/v1/things/7?page=2',
      body: '{"a":1}',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'if-match': '"0"' },
    })
  })

  it('takes an answer without a body', async () => {
    answer = (_, response) => response.writeHead(204).end()
    const none = { ...request(), method: 'DELETE', answer: z.undefined() } as const
    expect(await restApi(facts()).call(none, signal)).toMatchObject({ status: 204, body: undefined })
  })

  it('takes the first variable that holds a token', async () => {
    says(200, { id: 7 })
    const env = { CLOUD_TOKEN: '', CLOUD_PAT: ` ${token}\n`, CLOUD_ENDPOINT: `${base}/` }
    await restApi(facts({ env })).call(request(), signal)
    expect(seen.at(-1)).toMatchObject({ url: '/v1/things/7', headers: { authorization: `Bearer ${token}` } })
  })

  it('follows a URL that the API gave only to where the API is', async () => {
    says(200, { id: 7 })
    await restApi(facts()).call(request({ path: `${new URL(base).origin}/elsewhere?a=b` }), signal)
    expect(seen.at(-1)?.url).toBe('/elsewhere?a=b')
    const before = seen.length
    expect((await failure({}, { path: 'https://other.example.com/x' })).message).toContain('nothing was sent')
    expect((await failure({}, { path: 'no url' })).message).toContain('nothing was sent')
    expect(seen.length).toBe(before)
  })
})

describe('nothing is sent', () => {
  it.each([
    ['without a token', { CLOUD_PAT: ' ' }, /CLOUD_TOKEN or CLOUD_PAT is not set/],
    ['with a token of several lines', { CLOUD_TOKEN: `${token}\nx` }, /CLOUD_TOKEN holds what cannot be a token/],
    ['to plain http', { CLOUD_TOKEN: token, CLOUD_ENDPOINT: 'http://10.0.0.1/' }, /CLOUD_ENDPOINT is not/],
    [
      'to a name like localhost',
      { CLOUD_TOKEN: token, CLOUD_ENDPOINT: 'http://localhost.x/' },
      /CLOUD_ENDPOINT is not/,
    ],
    ['with a user in the URL', { CLOUD_TOKEN: token, CLOUD_ENDPOINT: 'https://u:p@x/' }, /CLOUD_ENDPOINT is not/],
    ['to what is no URL', { CLOUD_TOKEN: token, CLOUD_ENDPOINT: 'x' }, /CLOUD_ENDPOINT is not/],
  ])('%s', async (_, env, message) => {
    const before = seen.length
    expect((await failure({ env })).message).toMatch(message)
    expect(seen.length).toBe(before)
  })
})

describe('a failure', () => {
  it.each([
    [401, 'unauthorized', /the token is not accepted.*HTTP 401/, /CLOUD_TOKEN or CLOUD_PAT.*things:read/],
    [403, 'forbidden', /the token may not do that/, /the right things:read/],
    [404, 'not_found', /there is no thing 7/, /same account/],
    [409, 'exists', /somebody else/, /who else writes/],
    [412, 'precondition', /somebody else/, /who else writes/],
    [422, 'invalid', /HTTP 422 \(invalid: no, not that\)/, /in the message/],
  ])('HTTP %i says what it means and what to do', async (status, code, message, hint) => {
    says(status, { error: { code, message: 'no, not that' } })
    const error = await failure({}, { server: 'web1' })
    expect(error).toBeInstanceOf(RestError)
    expect(error).toMatchObject({ status, code, server: 'web1', retryAfterMs: undefined })
    expect(error.message).toMatch(/^edge: Cloud at 127\.0\.0\.1:\d+ cannot read thing 7: /)
    expect(error.message).toMatch(message)
    expect(error.hint).toMatch(hint)
  })

  it.each([
    [{ id: 'unauthorized', message: 'Unable' }, 'unauthorized', 'Unable'],
    [{ errors: [{ reason: 'Not found', field: 'id' }] }, undefined, 'Not found'],
    [{ success: false, errors: [{ code: 1000, message: 'bad origin' }] }, '1000', 'bad origin'],
    [{ error: { code: 'Oops', message: 'azure' } }, 'Oops', 'azure'],
    [{ error: { code: 400, message: 'g', errors: [{ reason: 'invalid' }] } }, 'invalid', 'g'],
    [[], undefined, 'HTTP 400'],
    ['<html>', undefined, 'HTTP 400'],
  ])('is read in the form %j', async (body, code, message) => {
    says(400, body)
    const error = await failure()
    expect(error).toMatchObject({ code })
    expect(error.message).toContain(message)
  })

  it.each([
    [423, { error: { code: 'locked', message: 'item is locked' } }],
    [409, { error: { code: 'conflict', message: 'the resource has changed during the request' } }],
    [409, { error: { code: 'AnotherOperationInProgress', message: 'later' } }],
    [400, { error: { code: 400, message: 'not ready', errors: [{ reason: 'resourceNotReady' }] } }],
    [403, { id: 'forbidden', message: "Load Balancer can't be updated while it processes previous actions" }],
  ])('HTTP %i with %j is one change after the other: to be told again', async (status, body) => {
    says(status, body)
    const error = await failure()
    expect(error).toMatchObject({ status, retryAfterMs: 0 })
    expect(error.message).toContain('busy with another change')
  })

  const date = 'Sat, 21 Nov 2026 12:00:00 GMT'
  it.each([
    [429, { 'retry-after': '7' }, 7000],
    [429, { 'retry-after': 'Sat, 21 Nov 2026 12:00:09 GMT', date }, 9000],
    [429, { 'ratelimit-reset': '3' }, 3000],
    [429, { 'ratelimit-reset': String(Date.parse(date) / 1000 + 5), date }, 5000],
    [429, { 'x-ratelimit-reset': String(Date.parse(date) / 1000 + 3600), date }, 10_000],
    [429, {}, 0],
    [503, { 'retry-after': '2' }, 2000],
    [500, {}, 0],
  ])('HTTP %i with %j says when to come again', async (status, headers, retryAfterMs) => {
    says(status, {}, headers)
    expect(await failure()).toMatchObject({ status, retryAfterMs })
  })

  it("knows Google's way of saying too often", async () => {
    says(403, { error: { code: 403, message: 'slow', errors: [{ reason: 'rateLimitExceeded' }] } })
    expect(await failure()).toMatchObject({ status: 403, retryAfterMs: 0 })
  })

  it('keeps the token out of what the API says, and control characters too', async () => {
    says(400, { error: { code: 'bad', message: `you sent ${token}\u001b[31m\n::error::x` } })
    const { message } = await failure()
    expect(message).toContain('you sent *** [31m ::error::x')
  })

  it('is a redirect', async () => {
    const before = seen.length
    says(302, '', { location: `${base}/things/8` })
    expect((await failure()).message).toContain('redirects are not followed')
    expect(seen.length).toBe(before + 1)
  })

  it('is an answer of another form, of no JSON, or without end', async () => {
    says(200, { id: 'seven' })
    expect((await failure()).message).toMatch(/another form than published, at id: /)
    says(200, '')
    expect((await failure()).message).toMatch(/another form than published, as a whole: /)
    says(200, '<html>hello')
    expect((await failure()).message).toMatch(/not JSON: <html>hello/)
    says(200, { id: 7, filler: 'x'.repeat(2000) })
    expect((await failure({ maxBytes: 1000 })).message).toContain('longer than 1000 bytes')
  })

  it('is silence, at once or in the middle of an answer', async () => {
    answer = () => undefined
    expect((await failure({ callMs: 50 })).message).toContain('no answer within 0.05 s')
    answer = (_, response) => response.writeHead(200).write('{')
    expect((await failure({ callMs: 50 })).message).toContain('no answer within 0.05 s')
  })

  it('is a connection that is cut, or that nobody takes', async () => {
    answer = (_, response) => response.destroy()
    expect(await failure()).toMatchObject({ status: undefined })
    const env = { CLOUD_TOKEN: token, CLOUD_ENDPOINT: 'http://127.0.0.1:1' }
    const error = await failure({ env })
    expect(error.message).toMatch(/cannot read thing 7: .*(ECONNREFUSED|bad port)/)
    expect(error.hint).toContain('can the runner reach 127.0.0.1:1')
  })

  it('is none when the deployment was cancelled: its reason is thrown', async () => {
    const cancel = new AbortController()
    answer = () => cancel.abort(new Error('cancelled'))
    await expect(restApi(facts()).call(request(), cancel.signal)).rejects.toThrow('cancelled')
    await expect(restApi(facts()).call(request(), cancel.signal)).rejects.toThrow('cancelled')
  })
})
