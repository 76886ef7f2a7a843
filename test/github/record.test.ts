import { describe, expect, it } from 'vitest'
import { closeRecord } from '../../src/github/close-record.ts'
import { openRecord } from '../../src/github/record-state.ts'
import type { EventBody } from '../../src/report/events.ts'
import { planOf } from '../report/recorded.ts'
import { waitUntil } from '../support/wait-until.ts'
import { aRun, ended, facts, logUrl, planned, post, preflight, statuses, success } from './a-run.ts'
import { sha, useGitHub } from './use-github.ts'

const run = aRun(useGitHub())

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
    const r = await run({}, {}, { secondMs: 5_000 })
    r.at.answer(statuses, { fault: 'status', status: 502 })
    r.emit(preflight)
    await waitUntil('it is said in vain', () => r.at.requests(statuses).length === 1)
    r.emit(planned(['web1']), ended('web1'), success)
    await r.end()
    // The next try would have come five seconds after the first.
    await new Promise(resolve => setTimeout(resolve, 6_000))
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
  it('because only statuses are refused, there is one warning too, and post tries once more', async () => {
    const r = await run()
    r.at.answer(statuses, { fault: 'status', status: 422, message: 'Validation Failed' }, 9)
    r.emit(preflight, planned(['web1']))
    await waitUntil('it is asked', () => r.at.requests(statuses).length > 0)
    r.emit(ended('web1'), success)
    await r.end()
    expect(r.warnings).toHaveLength(1)
    const open = openRecord(r.env)
    expect(open).toMatchObject({ end: { state: 'success' } })
    const tried = r.at.requests(statuses).length
    if (open !== null)
      await closeRecord({ gh: r.gh, open, logUrl, cancel: r.cancel.signal }, { state: 'failure', description: 'x' })
    expect(r.at.requests(statuses)).toHaveLength(tried + 1)
  })
  it('because it never answers, there is one warning, and nothing is left to post', async () => {
    const r = await run({}, {}, { endMs: 200 })
    r.at.answer('*', { fault: 'slow', ms: 600_000 }, 99)
    r.emit(preflight, planned(['web1']), ended('web1'), success)
    await r.end()
    expect(r.warnings).toEqual([expect.stringMatching(/^GitHub did not answer in time: /)])
    expect(openRecord(r.env)).toBeNull()
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
    r.at.answer(post, { fault: 'slow', ms: 3_000 })
    r.emit(preflight, planned(['web1']))
    await waitUntil('it is asked', () => r.at.asked() > 0)
    // The run goes on, and comes to its end, before there is an answer.
    r.emit(ended('web1'), success)
    expect(r.at.requests(post)).toEqual([])
    await r.end()
    expect(r.at.deployments()[0]?.state).toBe('success')
  })
})
