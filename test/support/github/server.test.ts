import { afterEach, describe, expect, it } from 'vitest'
import { misfits } from './schema.ts'
import { type FakeGitHub, type GitHubOptions, startGitHub } from './server.ts'

let github: FakeGitHub
afterEach(async () => {
  await github?.stop()
})

const sha = 'c'.repeat(40)
const ask = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
  const answer = await fetch(`${github.url}${path}`, {
    method,
    headers: {
      accept: 'application/vnd.github.v3+json',
      authorization: `token ${github.token}`,
      'content-type': 'application/json',
      'user-agent': 'test',
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown>, headers: answer.headers }
}
const start = async (options?: GitHubOptions) => {
  github = await startGitHub(options)
}

describe('the fake GitHub refuses', () => {
  const cases: readonly (readonly [string, string, string, unknown, string])[] = [
    ['an unknown path', 'GET', '/repos/octo/shop/deploys', undefined, 'no such operation'],
    ['an operation that it does not model', 'GET', '/repos/octo/shop/branches', undefined, 'does not know'],
    ['an unknown query parameter', 'GET', '/repos/octo/shop/deployments?enviroment=x', undefined, 'query enviroment'],
    ['a page size over 100', 'GET', '/repos/octo/shop/deployments?per_page=101', undefined, 'over 100'],
    ['a page that is no number', 'GET', '/repos/octo/shop/deployments?page=two', undefined, 'not of type integer'],
    ['a path that is no number', 'GET', '/repos/octo/shop/pulls/x', undefined, 'not of type integer'],
    ['an unknown body key', 'POST', '/repos/octo/shop/deployments', { ref: sha, automerge: false }, '.automerge'],
    ['a wrong type', 'POST', '/repos/octo/shop/deployments', { ref: sha, auto_merge: 'false' }, 'not of type boolean'],
    ['a wrong word', 'POST', '/repos/octo/shop/deployments/1/statuses', { state: 'done' }, 'none of'],
    ['a missing key', 'POST', '/repos/octo/shop/deployments', {}, '.ref is missing'],
    ['a missing body', 'POST', '/repos/octo/shop/deployments', undefined, 'the body is missing'],
    ['a body that is not described', 'PATCH', '/repos/octo/shop/issues/comments/1', { text: 'x' }, '.text'],
  ]
  it.each(cases)('%s', async (_, method, path, body, sentence) => {
    await start()
    const { status } = await ask(method, path, body)
    expect(status).toBeGreaterThanOrEqual(400)
    expect(github.misfits.join('\n')).toContain(sentence)
    await expect(github.stop()).rejects.toThrow(sentence)
    github.misfits.splice(0)
  })
  it('a request without the headers that GitHub wants', async () => {
    await start()
    expect((await ask('GET', '/repos/octo/shop/deployments', undefined, { accept: 'text/html' })).status).toBe(400)
    expect(github.misfits.splice(0)).toEqual([expect.stringContaining('accept')])
  })
  it('a token that is not its own, one without the permission, and another repository: as GitHub does', async () => {
    await start({ permissions: ['contents: read'] })
    expect((await ask('GET', '/user', undefined, { authorization: 'token other' })).status).toBe(401)
    expect((await ask('GET', '/user')).body['message']).toBe('Resource not accessible by integration')
    expect((await ask('POST', '/repos/octo/shop/deployments', { ref: sha })).status).toBe(403)
    expect((await ask('GET', '/repos/octo/other/pulls/1')).status).toBe(404)
    expect(github.misfits).toEqual([])
  })
})

describe('the fake GitHub behaves as documented', () => {
  it('merges instead of deploying, waits for checks, knows no ref: 202, 409, 422', async () => {
    await start({ behind: true, failingChecks: true })
    const post = (body: object) => ask('POST', '/repos/octo/shop/deployments', body)
    expect((await post({ ref: sha })).status).toBe(202)
    expect((await post({ ref: sha, auto_merge: false })).status).toBe(409)
    expect((await post({ ref: 'nope', auto_merge: false, required_contexts: [] })).status).toBe(422)
    expect((await post({ ref: sha, auto_merge: false, required_contexts: [] })).status).toBe(201)
  })
  it('hands out pages with links to the others', async () => {
    await start({
      comments: Array.from({ length: 5 }, (_, i) => ({ issue: 1, body: `${i}`, by: { login: 'a', type: 'User' } })),
    })
    const { headers, body } = await ask('GET', '/repos/octo/shop/issues/1/comments?per_page=2&page=2')
    expect((body as unknown as { body: string }[]).map(c => c.body)).toEqual(['2', '3'])
    const link = headers.get('link') ?? ''
    expect([...link.matchAll(/[?&]page=(\d).*?rel="(\w+)"/g)].map(m => `${m[2]} ${m[1]}`)).toEqual([
      'prev 1',
      'first 1',
      'next 3',
      'last 3',
    ])
  })
  it('sets earlier deployments of an environment inactive, but neither transient nor production ones', async () => {
    await start()
    for (const more of [{}, { transient_environment: true }, { production_environment: true }, {}]) {
      const body = { ref: sha, environment: 'e', auto_merge: false, required_contexts: [], ...more }
      const { id } = (await ask('POST', '/repos/octo/shop/deployments', body)).body
      await ask('POST', `/repos/octo/shop/deployments/${id}/statuses`, { state: 'success' })
    }
    expect(github.deployments().map(d => d.state)).toEqual(['inactive', 'success', 'success', 'success'])
  })
})

describe('the validator', () => {
  const check = (schema: object, value: unknown) =>
    misfits(schema as never, value, { resolve: () => ({}), closed: true })
  it('throws on a keyword that it does not know, instead of letting everything fit', () =>
    expect(() => check({ if: {} }, 1)).toThrow('if'))
  it('knows null, one of several, all of several and keys that are let in', () => {
    expect(check({ type: 'string', nullable: true }, null)).toEqual([])
    expect(check({ type: 'string' }, null)).toHaveLength(1)
    expect(check({ oneOf: [{ type: 'string' }, { type: 'integer' }] }, true)).toHaveLength(1)
    expect(check({ allOf: [{ required: ['a'] }, { required: ['b'] }] }, { a: 1 })).toEqual(['.b is missing'])
    expect(check({ type: 'object', properties: { a: {} } }, { b: 1 })).toEqual(['.b is not described'])
    expect(check({ type: 'object', additionalProperties: true }, { b: 1 })).toEqual([])
  })
})
