import { describe, expect, it } from 'vitest'
import { LockLostError, StepError } from '../../src/errors.ts'
import { endOf } from '../../src/rollout/ending.ts'
import type { Assignment } from '../../src/rollout/hands-contract.ts'
import { goServer } from '../../src/rollout/server.ts'
import { manifest } from '../plan/manifests.ts'
import { fakeHands, receipt } from './fake-hands.ts'

const job: Assignment = { server: 'web1', target: 'new', previous: 'old', mode: 'taken out', onFailure: 'stop' }
const boom = new StepError('boom')
const onlyNew = (release: string | null) => (release === 'new' ? boom : undefined)
const ours = { serving: [], ours: [receipt], operators: [] }

describe('a server’s way where two things go wrong at once', () => {
  it('stays open when it went back and the balancer does not say where it stands: recover finds out', async () => {
    const { hands } = fakeHands({ verify: onlyNew, putBack: () => ({ state: 'unknown', reason: 'no answer' }) })
    expect(await goServer({ ...job, onFailure: 'rollback' }, hands)).toMatchObject({
      outcome: 'failed',
      rotation: 'unknown',
      balancerFault: true,
      open: true,
    })
  })
  it('stays open when the lock is lost while it is put back', async () => {
    const { hands } = fakeHands({
      switchTo: () => ({ changed: false, error: boom }),
      putBack: () => new LockLostError('gone'),
    })
    expect(await goServer(job, hands)).toMatchObject({ open: true, leftOut: false })
  })
  it('goes back in place when the switch was made and then failed', async () => {
    const { hands } = fakeHands({ switchTo: r => (r === 'new' ? { changed: true, error: boom } : undefined) })
    expect(await goServer({ ...job, mode: 'in place' }, hands)).toMatchObject({ outcome: 'rolled-back' })
  })
  it('is not written back by a cancel in the middle of its scripts, also without releases', async () => {
    let cancelled = false
    const { hands, world } = fakeHands({
      cancelled: () => cancelled,
      activate: () => {
        cancelled = true
        return boom
      },
    })
    expect(await goServer({ ...job, target: null, previous: null }, hands)).toMatchObject({
      outcome: 'failed',
      open: true,
    })
    expect(world.calls).not.toContain('writeBack')
  })
  it('is not taken for unchanged when a cancel came during the switch', async () => {
    let cancelled = false
    const { hands, world } = fakeHands({
      cancelled: () => cancelled,
      switchTo: () => {
        cancelled = true
        world.current = 'new'
        throw new Error('cancelled')
      },
    })
    expect(await goServer(job, hands)).toMatchObject({ outcome: 'failed', leftOut: true, open: true })
    expect(world.calls).not.toContain('writeBack')
  })
  it.each([
    ['its switch fails', { switchTo: () => ({ changed: false, error: boom }) }],
    ['the deployment stops', { stopped: () => true }],
  ])('that an earlier deployment left out stays left out when %s', async (_, faults) => {
    const { hands, world } = fakeHands(faults, ours)
    expect(await goServer(job, hands)).toMatchObject({ rotation: 'out', leftOut: true, receipts: [receipt] })
    expect(world.calls).not.toContain('putBack')
  })
  it('is not judged by a journal that cannot take the outcome of a good activation', async () => {
    const { hands } = fakeHands()
    const note = async (what: string) => (what === 'activated' ? Promise.reject(boom) : undefined)
    expect(await goServer(job, { ...hands, note })).toMatchObject({ outcome: 'succeeded' })
  })
  it('goes back although that cannot be written to the journal', async () => {
    const { hands, world } = fakeHands({ verify: onlyNew })
    const note = async (what: string) => (what === 'rolling-back' ? Promise.reject(boom) : undefined)
    expect(await goServer({ ...job, mode: 'in place' }, { ...hands, note })).toMatchObject({ outcome: 'rolled-back' })
    expect(world.current).toBe('old')
  })
  it('stays open when the lease is lost while it goes back', async () => {
    const { hands } = fakeHands({
      verify: onlyNew,
      switchTo: r => {
        if (r === 'old') throw new LockLostError('gone')
        return undefined
      },
    })
    expect(await goServer({ ...job, mode: 'in place' }, hands)).toMatchObject({
      outcome: 'failed',
      open: true,
      leftOut: false,
    })
  })
  it('asks min_in_service before each removal, also the repeated one', async () => {
    const { hands, world } = fakeHands({ servesAgain: n => n === 1 })
    await goServer(job, hands)
    expect(world.calls.filter(c => c === 'mayLeave')).toHaveLength(2)
    expect(world.calls.filter(c => c === 'takeOut')).toHaveLength(2)
  })
  it('does not make its release a bad one when only the balancer failed', async () => {
    const { hands } = fakeHands({ putBack: () => ({ state: 'unknown', reason: 'no answer' }) })
    const end = await goServer(job, hands)
    const probe = {
      marks: [],
      dangling: false,
      current: null,
      history: [],
      journal: { entries: [], corrupt: [], stale: [] },
    }
    const session = { probe, owner: { token: 't' } } as unknown as Parameters<typeof endOf>[0]
    const plan = { release: { id: 'nocommit-00000001', commit: null }, strategy: { value: 'serial' } }
    const around = {
      manifest: manifest({ servers: [{ name: 'web1' }] }),
      plan,
      runUrl: null,
      actor: null,
    } as unknown as Parameters<typeof endOf>[1]
    expect(endOf(session, around, end, 'failure').mark).toBeNull()
  })
})

describe('a server that a person takes out while a deployment runs', () => {
  const out = { serving: [], ours: [], operators: ['edge'] }
  it.each([
    ['that may leave', {}],
    ['that may not', { mayLeave: 'min_in_service' }],
  ])('before it leaves, one %s, is deployed without removal and stays out', async (_, faults) => {
    const { hands, world } = fakeHands(faults)
    let looks = 0
    const look = async () => (looks++ === 0 ? { serving: [receipt], ours: [], operators: [] } : out)
    expect(await goServer(job, { ...hands, look })).toMatchObject({
      outcome: 'succeeded',
      rotation: 'out',
      keptOut: true,
      leftOut: false,
    })
    expect(world.calls).not.toContain('takeOut')
    expect(world.calls).not.toContain('putBack')
  })
  it.each([
    ['everywhere', ['edge'], 'out'],
    ['at another balancer', ['other'], 'in'],
  ])('%s, while it is out, ends as kept out, with nothing left to put back', async (_, keptOut, rotation) => {
    const { hands } = fakeHands()
    const putBack = async () => ({ state: 'serving' as const, keptOut })
    expect(await goServer(job, { ...hands, putBack })).toMatchObject({
      outcome: 'succeeded',
      rotation,
      keptOut: true,
      leftOut: false,
      restored: true,
    })
  })
})
