import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { type FakeGitHub, startGitHub } from '../support/github/server.ts'
import type { ActionResult } from '../support/runner.ts'
import { outcome, useSites } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const site = useSites()
const limit = { timeout: 400_000 }
const stops: (() => unknown)[] = []
afterEach(async () => {
  await Promise.all(stops.splice(0).map(stop => stop()))
})

/** It accepts, and never answers. `made`: connections so far. */
async function startSilent(): Promise<Pick<FakeGitHub, 'url' | 'token'> & { made(): number }> {
  const sockets = new Set<Socket>()
  const server = createServer(socket => void sockets.add(socket.on('error', () => {}))).listen(0, '127.0.0.1')
  await once(server, 'listening')
  stops.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    token: 'ghs_nobody',
    made: () => sockets.size,
  }
}

async function startFake(): Promise<FakeGitHub> {
  const github = await startGitHub()
  stops.push(() => github.stop())
  return github
}

const asking = ({ url, token }: Pick<FakeGitHub, 'url' | 'token'>) =>
  [{ 'github-deployment': 'true', 'github-token': token }, { env: { GITHUB_API_URL: url } }] as const
const warnings = (result: ActionResult) =>
  [result, result.post].map(r => (r?.commands ?? []).filter(c => c.name === 'warning').map(c => c.data))
const inTime = expect.stringMatching(/^GitHub did not answer in time/)
const waiting = (gate: string) =>
  `if mkdir "$HOME/once" 2>/dev/null; then touch ${gate}.reached; until [ -e ${gate} ]; do sleep 0.1; done; fi; ./activate`

/** Seconds: the ten of the bound, and thirty for the deployment itself on a busy machine; without the bound it is 47 and more. */
const longest = 40

describe('a GitHub that does not answer in time', () => {
  it('costs a deployment ten seconds and one warning, and post nothing', limit, async () => {
    const at = await site({ servers: 1 })
    const github = await startSilent()
    const [inputs, options] = asking(github)
    const result = await at.deploy(inputs, { ...options, post: false })
    const made = github.made()
    const post = await at.startPost(result, inputs, options).ended
    expect([result.code, outcome(result)]).toEqual([0, { succeeded: ['web1'] }])
    expect(warnings({ ...result, post })).toEqual([[inTime], []])
    expect(result.seconds).toBeLessThan(longest)
    expect([post.code, github.made()]).toEqual([0, made])
  })

  it('for a rate limit is not waited for either', limit, async () => {
    const at = await site({ servers: 1 })
    const github = await startFake()
    github.answer('POST /repos/{owner}/{repo}/deployments', { fault: 'secondary-limit', retryAfter: 55 })
    const result = await at.deploy(...asking(github))
    expect([result.code, result.post?.code]).toEqual([0, 0])
    expect(warnings(result)).toEqual([[expect.stringMatching(/in time \(a rate limit\)/)], []])
    expect(result.seconds).toBeLessThan(longest)
  })

  it('is left to post by a run that is cancelled: one warning in all', limit, async () => {
    const at = await site({ servers: 2 })
    const gate = join(at.temp, 'gate')
    at.manifest({ activate: waiting(gate) })
    at.change({ version: '2' })
    const running = at.start(...asking(await startSilent()))
    await waitUntil('web1 is activated', () => existsSync(`${gate}.reached`))
    const result = await running.cancel()
    writeFileSync(gate, '')
    expect(result.signal).toBeNull()
    expect(warnings(result)).toEqual([[], [inTime]])
    expect(result.post?.seconds).toBeLessThan(longest)
  })

  it('costs post ten seconds and one warning, when main was killed', limit, async () => {
    const at = await site({ servers: 1 })
    const gate = join(at.temp, 'gate')
    at.manifest({ activate: waiting(gate) })
    at.change({ version: '2' })
    const running = at.start(...asking(await startSilent()))
    await waitUntil('web1 is activated', () => existsSync(`${gate}.reached`))
    running.kill('SIGKILL')
    const result = await running.ended
    writeFileSync(gate, '')
    expect(result.post?.code, result.post?.log).toBe(0)
    expect(warnings(result)).toEqual([[], [inTime]])
    expect(result.post?.seconds).toBeLessThan(longest)
  })
})

describe('a GitHub that refuses statuses', () => {
  it('is one warning, also when main is killed after it', limit, async () => {
    const at = await site({ servers: 1 })
    const github = await startFake()
    const message = 'Resource not accessible by integration'
    const refusal = { fault: 'status', status: 403, message } as const
    github.answer('POST /repos/{owner}/{repo}/deployments/{deployment_id}/statuses', refusal, 50)
    const gate = join(at.temp, 'gate')
    at.manifest({ activate: waiting(gate) })
    at.change({ version: '2' })
    const running = at.start(...asking(github))
    await waitUntil('web1 is activated', () => existsSync(`${gate}.reached`))
    await waitUntil('it has warned', () => running.stdout().includes('no complete record'))
    running.kill('SIGKILL')
    const result = await running.ended
    writeFileSync(gate, '')
    // Annotations come at the end, which a run that is killed has not.
    const said = (log = '') => log.split('no complete record').length - 1
    expect([said(result.log), said(result.post?.log)]).toEqual([1, 0])
  })
})
