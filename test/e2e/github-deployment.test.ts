import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { type FakeGitHub, type GitHubOptions, startGitHub } from '../support/github/server.ts'
import type { ActionResult } from '../support/runner.ts'
import type { Site } from '../support/site.ts'
import { outcome, useSites } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const site = useSites()
const limit = { timeout: 400_000 }
const open: FakeGitHub[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map(github => github.stop()))
})

const startFake = async (options?: GitHubOptions) => {
  const github = await startGitHub(options)
  open.push(github)
  return github
}

const asking = (github: FakeGitHub, inputs: Readonly<Record<string, string>> = {}) =>
  [
    { 'github-deployment': 'true', 'github-token': github.token, ...inputs },
    { env: { GITHUB_API_URL: github.url } },
  ] as const

const said = (github: FakeGitHub) =>
  github
    .deployments()
    .at(-1)
    ?.statuses.map(s => `${s.state}: ${s.description}`)
const last = (github: FakeGitHub) => said(github)?.at(-1)
const warnings = (result: ActionResult) =>
  [result, result.post].flatMap(r => (r?.commands ?? []).filter(c => c.name === 'warning').map(c => c.data))
const head = (at: Site) => at.commit('head')

/** Steps that wait for a file, the first time only: post brings the server back to the release before, with the same steps. */
const waiting = (gate: string) =>
  `if mkdir "$HOME/once" 2>/dev/null; then touch ${gate}.reached; until [ -e ${gate} ]; do sleep 0.1; done; fi; ./activate`

describe('the record of a deployment on GitHub', () => {
  it('is one for the run: in progress, then a success with the run and the address', limit, async () => {
    const at = await site({ servers: 3 })
    const github = await startFake()
    at.manifest({ url: 'https://shop.example.com' })
    at.change({ version: '2' })
    const commit = head(at)
    const result = await at.deploy(...asking(github))
    expect(result.code, result.log).toBe(0)
    expect(github.deployments()).toMatchObject([
      { ref: commit, environment: 'shop', task: 'deploy', transient: false, production: false, state: 'success' },
    ])
    expect(said(github)?.[0]).toMatch(/^in_progress: /)
    expect(github.deployments()[0]?.statuses.at(-1)).toEqual({
      state: 'success',
      description: '3 of 3 servers done',
      logUrl: 'https://github.com/octo/shop/actions/runs/4711',
      environmentUrl: 'https://shop.example.com',
    })
    expect(result.outputs['deployment-id']).toBe(String(github.deployments()[0]?.id))
    expect(result.log).not.toContain(github.token)
    expect(warnings(result)).toEqual([])
    expect(result.post?.code).toBe(0)
  })

  it('is of the manifest’s environment, and production by that name alone', limit, async () => {
    const at = await site({ servers: 1 })
    const github = await startFake()
    at.manifest({ environments: { production: {}, staging: {} } })
    for (const environment of ['production', 'staging'])
      expect((await at.deploy(...asking(github, { environment }))).code).toBe(0)
    expect(github.deployments().map(d => [d.environment, d.production])).toEqual([
      ['production', true],
      ['staging', false],
    ])
  })

  it('is not made unless it is asked for, and never for plan, status or nothing at all', limit, async () => {
    const at = await site({ servers: 1 })
    const github = await startFake()
    for (const inputs of [
      { 'github-deployment': 'auto' },
      { 'github-deployment': 'false' },
      { command: 'plan' },
      { command: 'status' },
      { command: 'validate' },
      { servers: '[]' },
    ] as readonly Readonly<Record<string, string>>[])
      expect((await at.deploy(...asking(github, inputs))).code, JSON.stringify(inputs)).toBe(0)
    expect(github.asked()).toBe(0)
  })

  it('says what failed, and where', limit, async () => {
    const at = await site({ servers: 3 })
    const github = await startFake()
    at.change({ version: '2', behaviour: 'web2:activate-fails' })
    const result = await at.deploy(...asking(github))
    expect(outcome(result)).toEqual({ succeeded: ['web1'], failed: ['web2'], pending: ['web3'] })
    expect(last(github)).toMatch(/^failure: failed: web2 \(.+\); left out: web2$/)
    expect(result.post?.log).not.toMatch(/GitHub/)
  })

  it('of a rollback is of the commit that is gone back to', limit, async () => {
    const at = await site({ servers: 2 })
    const github = await startFake()
    const newer = at.change({ version: '2' })
    expect((await at.deploy({ strategy: 'parallel' })).code).toBe(0)
    const result = await at.deploy(...asking(github, { command: 'rollback' }))
    expect(result.code, result.log).toBe(0)
    expect(github.deployments()).toMatchObject([{ task: 'rollback', state: 'success' }])
    const ref = github.deployments()[0]?.ref
    expect(at.current('web1')?.slice(0, 12)).toBe(ref?.slice(0, 12))
    expect(ref).not.toBe(newer)
  })

  it('that the token may not make is one warning with the line to add, and the deployment goes on', limit, async () => {
    const at = await site({ servers: 2 })
    const github = await startFake({ permissions: ['contents: read'] })
    at.change({ version: '2' })
    const result = await at.deploy(...asking(github))
    expect([result.code, outcome(result)]).toEqual([0, { succeeded: ['web1', 'web2'] }])
    expect(warnings(result)).toEqual([expect.stringMatching(/permissions: deployments: write/)])
    expect(github.requests()).toHaveLength(1)
    expect(result.outputs['deployment-id']).toBe('')
  })

  it('needs a token: without one a warning says so, and the deployment goes on', limit, async () => {
    const at = await site({ servers: 1 })
    const github = await startFake()
    const result = await at.deploy(...asking(github, { 'github-token': '' }))
    expect(result.code).toBe(0)
    expect(warnings(result)).toEqual([expect.stringMatching(/github-token/)])
    expect(github.asked()).toBe(0)
  })

  it('costs nothing but a warning when GitHub is not there', limit, async () => {
    const at = await site({ servers: 1 })
    const github = await startFake()
    const [inputs] = asking(github)
    const result = await at.deploy(inputs, { env: { GITHUB_API_URL: 'http://127.0.0.1:9' } })
    expect(result.code).toBe(0)
    expect(warnings(result)).toEqual([expect.stringMatching(/^GitHub did not answer in time: /)])
  })
})

describe('a run that is cut off', () => {
  it('and had switched no server is inactive', limit, async () => {
    const at = await site({ servers: 2 })
    const github = await startFake()
    const gate = join(at.temp, 'gate')
    at.manifest({ prepare: waiting(gate).replace('./activate', 'true') })
    at.change({ version: '2' })
    const running = at.start(...asking(github))
    await waitUntil('it prepares', () => existsSync(`${gate}.reached`))
    const result = await running.cancel()
    writeFileSync(gate, '')
    expect(outcome(result)).toEqual({ pending: ['web1', 'web2'] })
    expect(result.signal).toBeNull()
    expect(last(github)).toMatch(/^inactive: /)
    expect(warnings(result)).toEqual([])
  })

  it('by a cancel in the middle is a failure that says how far it came, from main or from post', limit, async () => {
    const at = await site({ servers: 3 })
    const github = await startFake()
    const gate = join(at.temp, 'gate')
    at.manifest({ activate: ['./activate', { run: waiting(gate).replace('./activate', 'true'), roles: ['web2'] }] })
    at.change({ version: '2' })
    const running = at.start(...asking(github))
    await waitUntil('web2 is activated', () => existsSync(`${gate}.reached`))
    const result = await running.cancel()
    expect(result.outputs['result']).toBe('cancelled')
    expect(last(github)).toMatch(/^failure: cancelled: 1 of 3 servers done/)
    expect(github.deployments()).toHaveLength(1)
  })

  it('by a kill is closed by post, with what it found', limit, async () => {
    const at = await site({ servers: 2 })
    const github = await startFake()
    const gate = join(at.temp, 'gate')
    at.manifest({ activate: waiting(gate) })
    at.change({ version: '2' })
    const running = at.start(...asking(github))
    await waitUntil('web1 is activated', () => existsSync(`${gate}.reached`))
    await waitUntil('it is told to GitHub', () => last(github)?.startsWith('in_progress') === true)
    running.kill('SIGKILL')
    const result = await running.ended
    writeFileSync(gate, '')
    expect([result.signal, result.post?.code]).toEqual(['SIGKILL', 0])
    expect(last(github)).toMatch(/^failure: cut off; .*web1/)
    expect(github.deployments()).toHaveLength(1)
  })

  it('by a kill before anything was switched is closed as inactive', limit, async () => {
    const at = await site({ servers: 2 })
    const github = await startFake()
    const gate = join(at.temp, 'gate')
    at.manifest({ prepare: waiting(gate).replace('./activate', 'true') })
    at.change({ version: '2' })
    const running = at.start(...asking(github))
    await waitUntil('it prepares', () => existsSync(`${gate}.reached`))
    await waitUntil('it is told to GitHub', () => last(github)?.startsWith('in_progress') === true)
    running.kill('SIGKILL')
    const result = await running.ended
    writeFileSync(gate, '')
    expect(result.post?.code, result.post?.log).toBe(0)
    expect(last(github)).toMatch(/^inactive: cut off/)
  })

  it('while GitHub made the record is closed by post too, which finds it', limit, async () => {
    const at = await site({ servers: 1 })
    const github = await startFake()
    github.answer('POST /repos/{owner}/{repo}/deployments', { fault: 'lost' })
    const gate = join(at.temp, 'gate')
    at.manifest({ prepare: waiting(gate).replace('./activate', 'true') })
    at.change({ version: '2' })
    const running = at.start(...asking(github))
    await waitUntil('it prepares', () => existsSync(`${gate}.reached`))
    await waitUntil('GitHub has made it', () => github.deployments().length > 0)
    running.kill('SIGKILL')
    const result = await running.ended
    writeFileSync(gate, '')
    expect(result.state['deployment']).toBeUndefined()
    expect(github.deployments()).toMatchObject([{ state: 'inactive' }])
  })
})
