import { describe, expect, it } from 'vitest'
import type { GitHubAt } from '../../src/github/api.ts'
import { closeRecord, closingRecord } from '../../src/github/close-record.ts'
import { type RecordFacts, type Recording, record } from '../../src/github/record.ts'
import { openRecord } from '../../src/github/record-state.ts'
import type { EventBody, Outcome } from '../../src/report/events.ts'
import { createFold } from '../../src/report/state.ts'
import { planOf } from '../report/recorded.ts'
import type { GitHubOptions } from '../support/github/server.ts'
import { waitUntil } from '../support/wait-until.ts'
import { sha, useGitHub } from './use-github.ts'

const github = useGitHub()
const post = 'POST /repos/{owner}/{repo}/deployments'
const statuses = 'POST /repos/{owner}/{repo}/deployments/{deployment_id}/statuses'
const logUrl = 'https://github.com/octo/shop/actions/runs/4711'
const facts: RecordFacts = { ref: sha, environment: 'staging', task: 'deploy', transient: false, production: false }

/** A run with a record: events go in, and what the runner would hand to post comes out. */
async function run(options?: GitHubOptions, more: Partial<Recording> = {}, client?: Partial<GitHubAt>) {
  const { at, gh, warnings } = await github(options, client)
  const env: Record<string, string> = {}
  const cancel = new AbortController()
  const follower = record({
    ...{ gh, facts, logUrl, cancel: cancel.signal },
    saveState: (name, value) => {
      env[`STATE_${name}`] = value
    },
    ...more,
  })
  const fold = createFold()
  const emit = (...bodies: readonly EventBody[]) => {
    for (const body of bodies) for (const to of [fold.listener, follower.listener]) to({ ...body, at: Date.now() })
  }
  return {
    ...{ at, gh, warnings, env, cancel, emit, fold },
    outputs: () => follower.outputs(),
    end: () => follower.end(fold.state()),
    made: () => waitUntil('the record is made', () => at.deployments()[0]?.state === 'in_progress'),
    said: () => at.deployments()[0]?.statuses.map(s => `${s.state}: ${s.description}`),
  }
}

const preflight: EventBody = { type: 'phase', phase: 'preflight' }
const planned = (names: readonly string[]): EventBody => ({ type: 'planned', plan: planOf(names) })
const ended = (server: string, outcome: Outcome = 'succeeded'): EventBody => ({
  ...{ type: 'server-ended', server, outcome, rotation: 'in', leftOut: false, keptOut: false, notVerified: false },
  ...{ release: null, previous: null },
})
const success: EventBody = { type: 'run-ended', result: 'success' }

describe('the record of a run', () => {
  it('is in progress, then a success, with the run and the address', async () => {
    const r = await run()
    r.emit({ type: 'run-started', command: 'deploy', manifest: 'deploy.yml', runUrl: logUrl }, preflight)
    await r.made()
    r.emit(planned(['web1', 'web2']), ended('web1'), ended('web2'), success)
    await r.end()
    expect(r.at.deployments()).toMatchObject([
      { ref: sha, environment: 'staging', task: 'deploy', transient: false, production: false, state: 'success' },
    ])
    expect(r.at.deployments()[0]?.statuses.at(-1)).toEqual({
      ...{ state: 'success', description: '2 of 2 servers done', logUrl },
      environmentUrl: 'https://storefront.example.com',
    })
    expect(r.outputs()).toEqual({ 'deployment-id': String(r.at.deployments()[0]?.id) })
    expect(openRecord(r.env)).toBeNull()
    expect(r.warnings).toEqual([])
  })
  it('is one, however many servers there are', async () => {
    const r = await run()
    const names = Array.from({ length: 300 }, (_, i) => `web${i}`)
    r.emit(preflight, planned(names), ...names.map(n => ended(n)), success)
    await r.end()
    expect(r.at.requests(post)).toHaveLength(1)
    expect(r.at.requests(statuses).length).toBeLessThanOrEqual(3)
    expect(r.at.deployments()[0]?.state).toBe('success')
  })
  it('is none, when the run never came to its servers', async () => {
    const r = await run()
    r.emit({ type: 'run-ended', result: 'skipped' })
    await r.end()
    expect(r.at.requests()).toEqual([])
    expect([r.outputs(), r.env]).toEqual([{ 'deployment-id': '' }, {}])
  })
  it('says how far it is, in order, and never after the end', async () => {
    const r = await run({}, { everyMs: 1 })
    const names = ['a', 'b', 'c', 'd']
    r.emit(preflight, planned(names))
    await r.made()
    for (const [i, name] of names.entries()) {
      r.emit(ended(name))
      await waitUntil('that is said', () => r.said()?.at(-1) === `in_progress: ${i + 1} of 4 servers done`)
    }
    r.emit(success)
    await r.end()
    expect(r.said()?.slice(1)).toEqual([
      ...names.map((_, i) => `in_progress: ${i + 1} of 4 servers done`),
      'success: 4 of 4 servers done',
    ])
  })
  it('says nothing more after the end, also where GitHub was in trouble before it', async () => {
    const r = await run({}, {}, { secondMs: 2000 })
    r.at.answer(statuses, { fault: 'status', status: 502 })
    r.emit(preflight)
    await waitUntil('it is said in vain', () => r.at.requests(statuses).length === 1)
    r.emit(planned(['web1']), ended('web1'), success)
    await r.end()
    // The next try would have come two seconds after the first.
    await new Promise(resolve => setTimeout(resolve, 3000))
    expect(r.said()).toEqual(['success: 1 of 1 server done'])
  })
  it('says so at most every 30 seconds', async () => {
    const r = await run()
    const names = Array.from({ length: 40 }, (_, i) => `web${i}`)
    r.emit(preflight)
    await r.made()
    r.emit(planned(names), ...names.map(n => ended(n)), success)
    await r.end()
    expect(r.said()).toEqual(['in_progress: connecting', 'success: 40 of 40 servers done'])
  })
  it('of a rollback is of the commit that it goes back to', async () => {
    const r = await run({}, { facts: { ...facts, task: 'rollback' } })
    r.emit(preflight)
    expect(r.at.asked()).toBe(0)
    r.emit(planned(['web1']), ended('web1'), success)
    await r.end()
    expect(r.at.deployments()).toMatchObject([{ ref: planOf([]).release?.commit, task: 'rollback', state: 'success' }])
  })
  it('of a failure says which server and stage', async () => {
    const r = await run()
    const failure = { failure: { message: 'no', stage: 'verifying' }, leftOut: true }
    r.emit(preflight, planned(['web1', 'web2']), ended('web1'), { ...ended('web2', 'failed'), ...failure } as EventBody)
    r.emit({ type: 'run-ended', result: 'failure' })
    await r.end()
    expect(r.said()?.at(-1)).toBe('failure: failed: web2 (verifying); left out: web2')
  })
})

describe('when GitHub is in trouble', () => {
  it.each([
    ['the permission is missing', { permissions: ['contents: read'] }, null, /deployments: write/],
    ['it only may read', { permissions: ['deployments: read'] }, null, /deployments: write/],
    ['nothing is found', {}, { fault: 'status', status: 404, message: 'Not Found' }, /deployments: write/],
    ['the ref is not known', {}, { fault: 'status', status: 422, message: 'No ref found' }, /No ref found/],
    ['it merged instead', {}, { fault: 'status', status: 202 }, /merged/],
    ['there is a conflict', {}, { fault: 'status', status: 409, message: 'Conflict' }, /Conflict/],
    ['the hour is used up', {}, { fault: 'primary-limit', resetInSeconds: 3000 }, /rate limit/],
    ['it is down', {}, { fault: 'status', status: 503 }, /503/],
  ] as const)('because %s, there is one warning and nothing else', async (_, options, fault, text) => {
    const r = await run(options)
    if (fault !== null) r.at.answer('*', fault, 99)
    r.emit(preflight, planned(['web1', 'web2']), ended('web1'), ended('web2'), success)
    await r.end()
    expect(r.warnings).toEqual([expect.stringMatching(text)])
    expect(r.outputs()).toEqual({ 'deployment-id': '' })
    expect(openRecord(r.env)).toBeNull()
  })
  it('because only statuses are refused, there is one warning too, and post tries once more without another', async () => {
    const r = await run()
    r.at.answer(statuses, { fault: 'status', status: 422, message: 'Validation Failed' }, 9)
    r.emit(preflight, planned(['web1']))
    await waitUntil('it is asked', () => r.at.requests(statuses).length > 0)
    r.emit(ended('web1'), success)
    await r.end()
    expect(r.warnings).toHaveLength(1)
    const open = openRecord(r.env)
    expect(open).toMatchObject({ told: true, end: { state: 'success' } })
    if (open !== null)
      await closeRecord({ gh: r.gh, open, logUrl, cancel: r.cancel.signal }, { state: 'failure', description: 'x' })
    expect(r.warnings).toHaveLength(1)
  })
  it('because the commit is not known, there is one warning, and GitHub is not asked', async () => {
    const r = await run({}, { facts: { ...facts, ref: null } })
    r.emit(preflight, success)
    await r.end()
    expect(r.warnings).toEqual([expect.stringContaining('GITHUB_SHA')])
    expect(r.at.asked()).toBe(0)
  })
  it('a slow GitHub does not hold the run up', async () => {
    const r = await run()
    r.at.answer(post, { fault: 'slow', ms: 100 })
    const before = performance.now()
    r.emit(preflight, planned(['web1']))
    expect(performance.now() - before).toBeLessThan(90)
    r.emit(ended('web1'), success)
    await r.end()
    expect(r.at.deployments()[0]?.state).toBe('success')
  })
})

describe('a run that is cancelled', () => {
  it('has an inactive record, when no server was switched', async () => {
    const r = await run()
    r.emit(preflight)
    await r.made()
    r.cancel.abort()
    r.emit(planned(['web1']), ended('web1', 'pending'), { type: 'run-ended', result: 'cancelled' })
    await r.end()
    expect(r.at.deployments()[0]?.state).toBe('inactive')
    expect(openRecord(r.env)).toBeNull()
  })
  it('leaves to post what GitHub is too slow for, with the last word', async () => {
    const r = await run()
    r.emit(preflight)
    await r.made()
    r.emit(planned(['web1', 'web2']), ended('web1'))
    r.at.answer(statuses, { fault: 'slow', ms: 600_000 })
    r.cancel.abort()
    r.emit(ended('web2', 'pending'), { type: 'run-ended', result: 'cancelled' })
    await r.end()
    const open = openRecord(r.env)
    expect(open).toMatchObject({ id: r.at.deployments()[0]?.id, end: { state: 'failure' } })
    if (open === null) throw new Error('there is nothing to close')
    const { gh, cancel } = { gh: r.gh, cancel: new AbortController().signal }
    await closingRecord({ gh, open, logUrl, cancel }).end(r.fold.state())
    expect(r.said()?.at(-1)).toBe('failure: cancelled: 1 of 2 servers done')
  })
  it('hurries also where it was cancelled while it waited for GitHub', async () => {
    const r = await run()
    r.emit(preflight)
    await r.made()
    r.at.answer(statuses, { fault: 'slow', ms: 600_000 })
    r.emit(planned(['web1']), ended('web1'), success)
    const end = r.end()
    r.cancel.abort()
    await end
    expect(openRecord(r.env)).toMatchObject({ end: { state: 'success' } })
  })
})

describe('a run that was killed', () => {
  const killed = async (until: (r: Awaited<ReturnType<typeof run>>) => Promise<unknown>) => {
    const r = await run()
    r.emit(preflight)
    await until(r)
    const open = openRecord(r.env)
    if (open === null) throw new Error('there is nothing to close')
    return { ...r, closing: { gh: r.gh, open, logUrl, cancel: new AbortController().signal } }
  }
  it('is closed by what the recovery found', async () => {
    const r = await killed(one => one.made())
    r.emit(planned(['web1', 'web2']), ended('web1'), ended('web2', 'rolled-back'), success)
    await closingRecord(r.closing).end(r.fold.state())
    expect(r.said()?.at(-1)).toBe('failure: cut off; on the new release: web1; back on the old: web2')
  })
  it('is inactive, when nothing had been changed', async () => {
    const r = await killed(one => one.made())
    r.emit(planned(['web1']), ended('web1', 'pending'), success)
    await closingRecord(r.closing).end(r.fold.state())
    expect(r.at.deployments()[0]?.state).toBe('inactive')
  })
  it('is closed also when the answer to the first call never came', async () => {
    const r = await killed(one => waitUntil('it is asked', () => one.at.asked() > 0))
    await waitUntil('it is there', () => r.at.deployments().length > 0)
    await closeRecord(
      { ...r.closing, open: { ...r.closing.open, id: null } },
      { state: 'failure', description: 'cut off' },
    )
    expect(r.said()).toContain('failure: cut off')
  })
  it('has nothing to close, when the record was never made', async () => {
    const { gh, at, warnings } = await github()
    const asked = { key: 'k', environment: 'staging', task: 'deploy' } as const
    const open = { id: null, asked, end: null, told: false }
    await closeRecord({ gh, open, logUrl, cancel: new AbortController().signal }, { state: 'failure', description: '' })
    expect([at.requests(statuses), warnings]).toEqual([[], []])
  })
  it('has one warning, when it cannot be closed', async () => {
    const { gh, warnings } = await github({ permissions: [] })
    const asked = { key: 'k', environment: 'staging', task: 'deploy' } as const
    const open = { id: 5, asked, end: null, told: false }
    await closeRecord({ gh, open, logUrl, cancel: new AbortController().signal }, { state: 'failure', description: '' })
    expect(warnings).toEqual([expect.stringContaining('deployments: write')])
  })
  it('that left nonsense behind leaves nothing to close', () => {
    expect(openRecord({})).toBeNull()
    expect(openRecord({ STATE_deploymentAsked: '{', STATE_deployment: '5' })).toBeNull()
    const asked = JSON.stringify({ key: 'k', environment: 'e', task: 'deploy' })
    expect(openRecord({ STATE_deploymentAsked: asked, STATE_deployment: '../5' })).toMatchObject({ id: null })
  })
})
