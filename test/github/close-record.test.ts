import { describe, expect, it } from 'vitest'
import { gitHub } from '../../src/github/api.ts'
import { closeRecord, closingRecord } from '../../src/github/close-record.ts'
import { openRecord } from '../../src/github/record-state.ts'
import { waitUntil } from '../support/wait-until.ts'
import { aRun, ended, logUrl, planned, preflight, statuses, success } from './a-run.ts'
import { useGitHub } from './use-github.ts'

const github = useGitHub()
const run = aRun(github)

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
    const { repository, token, url: apiUrl } = r.at
    const gh = gitHub({ repository, token, apiUrl, warn: () => {} })
    const cancel = new AbortController().signal
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
    expect(r.warnings).toEqual([])
  })
  it('says what it has no time for, when there is no post', async () => {
    const r = await run({}, { hasPost: false })
    r.at.answer('*', { fault: 'slow', ms: 600_000 }, 99)
    r.emit(preflight, planned(['web1']))
    r.cancel.abort()
    r.emit(ended('web1', 'pending'), { type: 'run-ended', result: 'cancelled' })
    await r.end()
    expect(r.warnings).toHaveLength(1)
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
    const open = { id: null, asked, end: null }
    await closeRecord({ gh, open, logUrl, cancel: new AbortController().signal }, { state: 'failure', description: '' })
    expect([at.requests(statuses), warnings]).toEqual([[], []])
  })
  it('has one warning, when it cannot be closed', async () => {
    const { gh, warnings } = await github({ permissions: [] })
    const asked = { key: 'k', environment: 'staging', task: 'deploy' } as const
    const open = { id: 5, asked, end: null }
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
