/** `report` as a last job runs it: a directory of downloaded reports, no checkout, no manifest, no key. The reports are recorded streams. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { outputs } from '../../src/report/outputs.ts'
import { readReport } from '../../src/report/report-schema.ts'
import { replay } from '../../src/report/state.ts'
import { begin, endedWith, finish, manyServers, parallelPlan, recording } from '../report/recorded.ts'
import { allShards, reportOf, selectionOf, streamOf } from '../report/shards-of.ts'
import { type FakeGitHub, type GitHubOptions, startGitHub } from '../support/github/server.ts'
import { runAction } from '../support/runner.ts'

const root = mkdtempSync(join(tmpdir(), 'merged-'))
afterAll(() => rmSync(root, { recursive: true }))
const servers: FakeGitHub[] = []
afterEach(async () => {
  await Promise.all(servers.splice(0).map(server => server.stop()))
})
const fakeGitHub = async (options?: GitHubOptions) => {
  const server = await startGitHub(options)
  servers.push(server)
  return server
}

const sha = '0123456789abcdef0123456789abcdef01234567'

/** A job of its own: an empty workspace, and the reports as actions/download-artifact leaves them. */
function run(
  reports: readonly string[],
  inputs: Readonly<Record<string, string>> = {},
  env: Record<string, string> = {},
) {
  const temp = mkdtempSync(join(root, 'job-'))
  const workspace = join(temp, 'workspace')
  mkdirSync(join(workspace, 'reports'), { recursive: true })
  for (const [i, text] of reports.entries()) writeFileSync(join(workspace, 'reports', `shard-${i}.json`), text)
  return runAction({ workspace, temp, inputs: { command: 'report', ...inputs }, env: { GITHUB_SHA: sha, ...env } })
}

const reportsOf = (events: ReturnType<typeof manyServers>, of: number) =>
  allShards(of).map(shard => reportOf(streamOf(events, shard, selectionOf(events))))

function goodRun(n: number) {
  const names = Array.from({ length: n }, (_, i) => `web${i + 1}`)
  const r = recording()
  begin(r, parallelPlan(names, 10))
  r.emit({ type: 'message', level: 'warning', text: 'the release is large' })
  for (const name of names) r.emit(endedWith(name))
  return finish(r, 'success')
}

describe('the command report', { timeout: 240_000 }, () => {
  it('gives outputs, summary, annotations, report and exit code of the whole run, in an empty workspace and without a key', async () => {
    const events = manyServers(200)
    const result = await run(reportsOf(events, 8))
    expect(result.code, result.log).toBe(1)
    expect(result.outputs).toMatchObject(outputs(replay(events)))
    const failed = JSON.parse(result.outputs['failed'] ?? '') as string[]
    expect(failed).toHaveLength(7)
    // One section for each server, and who needs somebody comes first.
    const headings = result.summary.split('\n').filter(line => /^#+ /.test(line))
    expect(headings.filter(line => /^### web\d+$/.test(line))).toHaveLength(200)
    expect(headings.slice(0, 2)).toEqual(['## ❌ storefront → production: deployment failed', '## Failures'])
    expect(result.summary).toContain('| 8/8 |')
    // Once each: seven failed servers and what the shards ended with.
    const errors = result.commands.filter(c => c.name === 'error')
    for (const name of failed) expect(errors.filter(c => c.properties.startsWith(`title=${name}%3A`))).toHaveLength(1)
    const report = readReport(readFileSync(result.outputs['report-path'] ?? '', 'utf8'))
    expect([...report.servers]).toEqual([...replay(events).servers])
    expect(report).toMatchObject({ result: 'failure', command: 'deploy', shard: null })
    expect(report.shards).toBeNull()
    expect(result.log).toContain('shard 8/8  failure  2 failed, 23 succeeded')
    expect(result.post?.code).toBe(0)
  })

  it('succeeds when all shards did, and says once what all of them say', async () => {
    const events = goodRun(20)
    const result = await run(reportsOf(events, 4))
    expect(result.code, result.log).toBe(0)
    expect(result.outputs).toMatchObject(outputs(replay(events)))
    expect(result.commands.filter(c => c.name === 'warning').map(c => c.data)).toEqual(['the release is large'])
  })

  it('fails when two of eight left no report: they and their servers are named, and retry has them', async () => {
    const all = reportsOf(goodRun(16), 8)
    const result = await run(all.filter((_, i) => i !== 2 && i !== 5))
    expect(result.code).toBe(1)
    expect(result.outputs).toMatchObject({
      result: 'failure',
      pending: '["web3","web6","web11","web14"]',
      retry: '["web3","web6","web11","web14"]',
    })
    const [error] = result.commands.filter(c => c.name === 'error')
    expect(error?.data).toContain(
      'shards 3, 6 of 8 left no report: what became of web3, web6, web11, web14 is not known',
    )
    expect(result.summary).toContain('shards 3, 6 of 8 left no report')
  })

  it('fails without a report, and says what to check', async () => {
    const result = await run([])
    expect(result.code).toBe(1)
    expect(result.outputs['result']).toBe('failure')
    expect(result.log).toContain('no report lies in reports')
    expect(result.summary).toContain('merge-multiple')
  })
})

describe('the record of a fan-out', { timeout: 240_000 }, () => {
  const recorded = { 'github-deployment': 'true' }
  const at = (github: FakeGitHub) => ({ GITHUB_API_URL: github.url })

  it('is one, made and ended by the command report', async () => {
    const github = await fakeGitHub()
    const inputs = { ...recorded, 'github-token': github.token }
    const result = await run(reportsOf(goodRun(8), 4), inputs, at(github))
    expect(result.code, result.log).toBe(0)
    const [deployment, ...more] = github.deployments()
    expect(more).toEqual([])
    expect(deployment).toMatchObject({ environment: 'production', ref: sha, production: true })
    expect(deployment?.statuses.at(-1)).toMatchObject({ state: 'success', description: '8 of 8 servers done' })
    expect(result.outputs['deployment-id']).toBe(String(deployment?.id))
  })

  it('says failure where a shard failed, or left no report', async () => {
    const github = await fakeGitHub()
    const inputs = { ...recorded, 'github-token': github.token }
    const result = await run(reportsOf(goodRun(8), 4).slice(1), inputs, at(github))
    expect(result.code).toBe(1)
    expect(github.deployments().map(d => d.statuses.at(-1))).toMatchObject([
      { state: 'failure', description: expect.stringContaining('shard 1 of 4 left no report') },
    ])
  })

  it('is none without the input, and a missing permission is one warning', async () => {
    const github = await fakeGitHub({ permissions: ['contents: read'] })
    const token = { 'github-token': github.token }
    expect((await run(reportsOf(goodRun(8), 4), token, at(github))).code).toBe(0)
    expect(github.asked()).toBe(0)
    const result = await run(reportsOf(goodRun(8), 4), { ...recorded, ...token }, at(github))
    expect(result.code, result.log).toBe(0)
    const warnings = result.commands.filter(c => c.name === 'warning').map(c => c.data)
    expect(warnings.filter(text => text.includes('deployments: write'))).toHaveLength(1)
  })
})
