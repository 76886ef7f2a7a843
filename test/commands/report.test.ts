import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { mergeReports } from '../../src/commands/report.ts'
import { readRequest } from '../../src/inputs.ts'
import type { EventBody, Result } from '../../src/report/events.ts'
import { outputs } from '../../src/report/outputs.ts'
import { createFold, type ReportState, replay } from '../../src/report/state.ts'
import { summary } from '../../src/report/summary.ts'
import { hostileLines } from '../report/hostile.ts'
import { begin, endedWith, finish, parallelFailure, parallelPlan, recording } from '../report/recorded.ts'
import { allShards, reportOf, selectionOf, streamOf } from '../report/shards-of.ts'

const root = mkdtempSync(join(tmpdir(), 'report-'))
afterAll(() => rmSync(root, { recursive: true }))

type Files = Readonly<Record<string, string>>

function place(files: Files = {}): { workspace: string; temp: string; reports: string } {
  const directory = mkdtempSync(join(root, 'job-'))
  const [workspace, temp] = [join(directory, 'work'), join(directory, 'temp')]
  for (const path of [join(workspace, 'reports'), temp]) mkdirSync(path, { recursive: true })
  for (const [name, text] of Object.entries(files)) {
    const path = join(workspace, 'reports', name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
  }
  return { workspace, temp, reports: join(workspace, 'reports') }
}

async function run(at: { workspace: string; temp: string }, inputs: Files = {}) {
  const env: Record<string, string> = {
    GITHUB_ACTIONS: 'true',
    GITHUB_WORKSPACE: at.workspace,
    RUNNER_TEMP: at.temp,
    GITHUB_REPOSITORY: 'octo/shop',
    GITHUB_RUN_ID: '4711',
    INPUT_COMMAND: 'report',
    ...inputs,
  }
  const request = readRequest(env, [], at.workspace)
  const fold = createFold()
  const said: EventBody[] = []
  const emit = (body: EventBody) => {
    said.push(body)
    fold.listener({ ...body, at: 2_000_000_000_000 })
  }
  const unused = () => {
    throw new Error('not for this command')
  }
  const cancel = new AbortController().signal
  const bare = { request, emit, cancel, clock: { now: () => 0, wall: () => 0, sleep: unused }, showPlan: unused }
  const rest = { showSharding: unused, showStatus: unused, saveRunFile: unused }
  let result: Result | null = null
  let error: Error & { hint?: string } = new Error('nothing was thrown')
  try {
    result = await mergeReports({ ...bare, ...rest } as unknown as Parameters<typeof mergeReports>[0])
  } catch (thrown) {
    error = thrown as Error
  }
  return { result, error, said, state: fold.state() as ReportState }
}

const events = parallelFailure()
const texts = allShards(3).map(shard => reportOf(streamOf(events, shard, selectionOf(events))))
const asArtifacts: Files = Object.fromEntries(texts.map((text, i) => [`report-${i + 1}/run.json`, text]))
const merged: Files = Object.fromEntries(texts.map((text, i) => [`run-${i + 1}.json`, text]))
const messages = (said: readonly EventBody[]) =>
  said.flatMap(e => (e.type === 'message' ? [`${e.level}: ${e.text}`] : []))

describe('the command report', () => {
  it.each([
    ['each in a directory of its artifact', asArtifacts],
    ['merged into one', merged],
    ['both, of which copies count once', { ...asArtifacts, ...merged }],
  ])('puts the shards together: %s', async (_, files) => {
    const { result, state, said } = await run(place(files))
    expect(result).toBe('failure')
    expect(outputs(state)).toEqual(outputs(replay(events)))
    expect(messages(said)).toEqual([])
  })

  it('reads a directory under RUNNER_TEMP, and files that are no JSON are none of its business', async () => {
    const at = place()
    cpSync(place({ ...merged, 'log.txt': 'x', 'report-1/deep/er/note.md': 'y' }).reports, join(at.temp, 'from'), {
      recursive: true,
    })
    expect((await run(at, { INPUT_REPORTS: join(at.temp, 'from') })).result).toBe('failure')
    expect((await run(at, { INPUT_REPORTS: join(at.temp, 'from') })).error.message).toBe('nothing was thrown')
  })

  it('says what to check where there is no report, or no directory', async () => {
    for (const [at, inputs] of [
      [place(), {}],
      [place({ 'a.txt': '' }), {}],
      [place(), { INPUT_REPORTS: 'nowhere' }],
    ] as const) {
      const { error } = await run(at, inputs)
      expect(error.message).toMatch(/no report lies in reports|no directory nowhere/)
      expect(error.hint).toMatch(/download-artifact.*its pattern.*merge-multiple.*report-path/)
    }
  })

  it('refuses a directory outside of the job', async () => {
    const elsewhere = place(merged)
    for (const path of [elsewhere.reports, '../../..']) {
      const { error } = await run(place(), { INPUT_REPORTS: path })
      expect(error.message).toMatch(/neither in the workspace nor in RUNNER_TEMP/)
    }
    const linked = place()
    rmSync(linked.reports, { recursive: true })
    symlinkSync(elsewhere.reports, linked.reports)
    expect((await run(linked)).error.message).toMatch(/neither in the workspace nor in RUNNER_TEMP/)
  })

  it('follows no link, and says so of a report that is one', async () => {
    const [elsewhere, at] = [place(merged), place({ 'run-1.json': texts[0] ?? '', 'run-2.json': texts[1] ?? '' })]
    symlinkSync(join(elsewhere.reports, 'run-3.json'), join(at.reports, 'run-3.json'))
    symlinkSync(elsewhere.reports, join(at.reports, 'more'))
    symlinkSync('.', join(at.reports, 'round'))
    const { result, state, said } = await run(at)
    expect(result).toBe('failure')
    expect(messages(said)).toEqual(['error: reports/run-3.json does not count: it is a link, which is not followed'])
    expect(state.error?.message).toContain('shard 3 of 3 left no report')
  })

  it('is not kept waiting by a pipe', async () => {
    const at = place(merged)
    execFileSync('mkfifo', [join(at.reports, 'pipe.json')])
    expect(messages((await run(at)).said)).toEqual(['error: reports/pipe.json does not count: it is no file'])
  })

  it('refuses reports of another run than its own', async () => {
    const { error } = await run(place(merged), { GITHUB_RUN_ID: '4712' })
    expect(error.message).toMatch(/are of another run: https:.*4711/)
    const offGitHub = texts.map((text, i) => [`${i}.json`, JSON.stringify({ ...JSON.parse(text), runUrl: null })])
    expect((await run(place(Object.fromEntries(offGitHub)))).error.message).toBe(
      'the reports in reports are of no run on GitHub',
    )
  })

  it('warns where the present attempt left no report, and ends as the reports say', async () => {
    const { result, said, state } = await run(place(merged), { GITHUB_RUN_ATTEMPT: '2' })
    expect(result).toBe('failure')
    expect(messages(said)).toEqual(['warning: no shard left a report in attempt 2: what follows is of attempt 1'])
    expect(summary(state)).toContain('no shard left a report in attempt 2')
  })

  it('says in words that a file is no directory, and that a directory cannot be read', async () => {
    const at = place(merged)
    writeFileSync(join(at.workspace, 'one.json'), texts[0] ?? '')
    for (const path of ['one.json', 'reports/run-1.json']) {
      const { error } = await run(at, { INPUT_REPORTS: path })
      expect(error).toMatchObject({ name: 'InputError', message: `input reports: ${path} is no directory` })
    }
  })

  it('tells of a file over 50 MB, and reads the others', async () => {
    const at = place(merged)
    writeFileSync(join(at.reports, 'big.json'), '')
    truncateSync(join(at.reports, 'big.json'), 51 * 1024 * 1024)
    const { result, said, state } = await run(at)
    expect(messages(said)).toEqual(['error: reports/big.json does not count: it has more than 50 MB'])
    expect(result).toBe('failure')
    expect(state.servers.size).toBe(3)
  })
})

describe('a report that is damaged or made up', () => {
  const report = () => JSON.parse(texts[2] ?? '') as Record<string, unknown>
  const server = () => (report()['servers'] as Record<string, unknown>[])[0]
  const wrong: Readonly<Record<string, string>> = {
    'cut off': (texts[2] ?? '').slice(0, 3000),
    empty: '',
    null: 'null',
    'an array': '[]',
    'something else': '{"name":"package"}',
    'another version': JSON.stringify({ ...report(), version: 2 }),
    'a shard of none': JSON.stringify({ ...report(), shard: { index: 3, of: 0 } }),
    'a shard beyond all': JSON.stringify({ ...report(), shard: { index: 4, of: 3 } }),
    'no shard': JSON.stringify({ ...report(), shard: null, selection: null }),
    'names that are numbers': JSON.stringify({ ...report(), selection: [1, 2, 3] }),
    'an outcome of its own': JSON.stringify({ ...report(), servers: [{ ...server(), ended: { outcome: 'great' } }] }),
    'a result of its own': JSON.stringify({ ...report(), result: 'excellent' }),
    'an attempt of its own': JSON.stringify({ ...report(), attempt: '<b>1</b>' }),
    'events of its own': JSON.stringify({ ...report(), events: [{ type: 'merged', at: 1, state: {}, events: [] }] }),
    'no servers': JSON.stringify({ ...report(), servers: null }),
    deep: '['.repeat(200_000),
    'of the command plan': JSON.stringify({ ...report(), command: 'plan' }),
    'of no command': JSON.stringify({ ...report(), command: null }),
    'a selection with doubles': JSON.stringify({ ...report(), selection: ['web1', 'web1', 'web3'] }),
    'the only shard, of other servers than are selected': JSON.stringify({ ...report(), shard: { index: 1, of: 1 } }),
    'times beyond all calendars': JSON.stringify({ ...report(), startedAt: 1e308, lastAt: -1e308 }),
  }

  it.each(Object.keys(wrong))('%s: its file is named, its shard is missed, the others are reported', async kind => {
    const files = { 'run-1.json': texts[0] ?? '', 'run-2.json': texts[1] ?? '', 'bad.json': wrong[kind] ?? '' }
    const { result, state, said } = await run(place(files))
    expect(result).toBe('failure')
    expect(messages(said)).toHaveLength(1)
    expect(messages(said)[0]).toMatch(/^error: reports\/bad\.json does not count: it /)
    expect(messages(said)[0]?.length).toBeLessThan(600)
    expect(state.error?.message).toContain('shard 3 of 3 left no report')
    expect(JSON.parse(outputs(state)['succeeded'])).toEqual(['web1'])
  })

  it('is named once with others that are wrong in the same way', async () => {
    const files = Object.fromEntries(
      texts.map((t, i) => [`run-${i + 1}.json`, JSON.stringify({ ...JSON.parse(t), command: 'plan' })]),
    )
    const { error, said } = await run(place(files))
    expect(error.message).toBe('input reports: nothing in reports is the report of a shard')
    expect(messages(said)).toEqual([
      'error: reports/run-[1-3].json do not count: it is of the command plan: only those of deploy and rollback are put together',
    ])
  })

  it('is a failure even where all shards did well', async () => {
    const r = recording()
    begin(r, parallelPlan(['web1', 'web2'], 10))
    for (const name of ['web1', 'web2']) r.emit(endedWith(name))
    const stream = finish(r, 'success')
    const [one = '', two = ''] = allShards(2).map(shard => reportOf(streamOf(stream, shard, ['web1', 'web2'])))
    expect((await run(place({ 'a.json': one, 'b.json': two }))).result).toBe('success')
    expect((await run(place({ 'a.json': one, 'b.json': two, 'c.json': '{}' }))).result).toBe('failure')
  })

  it('takes nothing from a shard about servers of another one', async () => {
    const lying = { ...report(), servers: [...(report()['servers'] as unknown[]), { ...server(), name: 'web2' }] }
    const files = { 'run-1.json': texts[0] ?? '', 'run-2.json': texts[1] ?? '', 'run-3.json': JSON.stringify(lying) }
    const { state } = await run(place(files))
    expect(outputs(state)['rolled-back']).toBe('["web2"]')
  })

  it('with names and texts that are markup leaves no markup in the summary', async () => {
    for (const hostile of hostileLines) {
      const names = ['web1', hostile]
      const r = recording()
      begin(r, parallelPlan(names, 10))
      for (const name of names)
        r.emit(endedWith(name, { outcome: 'failed', failure: { stage: hostile, message: hostile, hint: hostile } }))
      const stream = finish(r, 'failure', { message: hostile, hint: hostile })
      const [first] = allShards(2).map(shard => reportOf(streamOf(stream, shard, names)))
      // Its own words for a name, past what report.json makes safe to print.
      const raw = JSON.stringify({ ...JSON.parse(first ?? ''), selection: names, command: hostile, manifest: hostile })
      const markdown = summary((await run(place({ 'a.json': raw }))).state)
      const tags = new Set(markdown.match(/<[a-z!/][^>]*>/gi))
      const ours = ['code', 'pre', 'details', 'summary'].flatMap(tag => [`<${tag}>`, `</${tag}>`])
      for (const tag of tags) expect([...ours, '<br>', '<!-- -->']).toContain(tag)
      expect(markdown.replace(/<pre>[^<]*<\/pre>/g, '')).not.toMatch(/\]\(|!\[|https?:\/\//)
    }
  })
})
