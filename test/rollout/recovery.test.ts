import { describe, expect, it } from 'vitest'
import { LockLostError, StepError } from '../../src/errors.ts'
import { journalState } from '../../src/release/journal.ts'
import type { JournalEntry } from '../../src/release/journal-entry.ts'
import { earlierReceipts } from '../../src/rollout/ending.ts'
import { type Left, needsRecovery, recoverServer, recoveryFor, recoveryTable } from '../../src/rollout/recovery.ts'
import { haproxy, manifest } from '../plan/manifests.ts'
import { type Faults, fakeHands, receipt, type World } from './fake-hands.ts'

const boom = new StepError('boom')
type Body = Partial<JournalEntry> & { readonly type: JournalEntry['type'] }
const opened: Body = {
  type: 'opened',
  deployment: 't',
  run: null,
  release: 'new',
  previous: 'old',
  strategy: 'serial',
  commit: null,
}
const removing: Body = { type: 'removing', receipts: [receipt] }
const entries = (...bodies: Body[]) => bodies.map((b, i) => ({ at: i, n: 1, ...b })) as JournalEntry[]

/** A server as a killed run left it: its journal, what `current` points to, and whether it is out. */
async function recover(bodies: readonly Body[], current: 'old' | 'new', faults: Faults = {}) {
  const left: Left = { server: 'web1', current, journal: journalState(entries(opened, ...bodies)) }
  const { hands, world } = fakeHands(faults)
  world.current = current
  world.rotation = bodies.includes(removing) ? 'out' : 'in'
  const more: string[] = []
  const ended = await recoverServer(left, {
    ...hands,
    discard: async release => void more.push(`discard ${release}`),
    waitForMigration: async release => void more.push(`wait ${release}`),
  })
  return { ended, world, more }
}
const back: Partial<World> = { current: 'old', running: 'old', rotation: 'in' }

describe('the table of recovery', () => {
  it('has one row for every line a journal can end with', () => {
    const types = recoveryTable.flatMap(r => r.last)
    for (const type of new Set(types)) {
      const rows = recoveryTable.filter(r => r.last.includes(type))
      expect(rows.length === 1 ? rows[0]?.switched : rows.map(r => r.switched).sort()).toEqual(
        rows.length === 1 ? 'any' : [false, true],
      )
    }
  })
  it('staging, preparing: the partial release is removed', async () => {
    for (const type of ['staging', 'staged', 'preparing'] as const)
      expect(await recover([{ type }], 'old')).toMatchObject({
        more: ['discard new'],
        ended: { outcome: 'pending', leftOut: false },
        world: { calls: [] },
      })
  })
  it('prepared: a marked release is kept', async () =>
    expect((await recover([{ type: 'prepared' }], 'old')).more).toEqual([]))
  it('migrating: waited for, nothing repeated', async () =>
    expect(await recover([{ type: 'prepared' }, { type: 'migrating' }], 'old')).toMatchObject({
      more: ['wait new'],
      world: { calls: [] },
    }))
  it('removing, draining, out: restored from the receipt and waited for', async () => {
    for (const more of [[], [{ type: 'out' } as const]])
      expect(await recover([removing, ...more], 'old')).toMatchObject({
        ended: { outcome: 'pending', rotation: 'in', restored: true },
        world: { calls: ['putBack'], rotation: 'in' },
      })
  })
  it('switching, current unchanged: as removed', async () =>
    expect(await recover([removing, { type: 'switching', from: 'old', to: 'new' }], 'old')).toMatchObject({
      ended: { outcome: 'pending', rotation: 'in' },
      world: { calls: ['putBack'] },
    }))
  it('switching, current changed: the previous release, activated, verified, restored', async () =>
    expect(await recover([removing, { type: 'switching', from: 'old', to: 'new' }], 'new')).toMatchObject({
      ended: { outcome: 'rolled-back', rotation: 'in' },
      world: back,
    }))
  it('switched, activation without outcome: the previous release, activated, verified, restored', async () => {
    const { ended, world } = await recover([removing, { type: 'switched', to: 'new' }], 'new')
    expect(ended).toMatchObject({ outcome: 'rolled-back', rotation: 'in', leftOut: false })
    expect(world).toMatchObject(back)
    expect(world.calls).toEqual(['switchTo', 'activate', 'verify', 'putBack'])
  })
  it('activated and good now: restored on this release', async () => {
    const { ended, world } = await recover(
      [removing, { type: 'switched', to: 'new' }, { type: 'activated', ok: true }],
      'new',
    )
    expect(ended).toMatchObject({ outcome: 'succeeded', rotation: 'in' })
    expect(world).toMatchObject({ current: 'new', rotation: 'in', calls: ['verify', 'putBack'] })
  })
  it('activated and not good now: the previous release', async () => {
    const bad: Faults = { verify: r => (r === 'new' ? boom : undefined) }
    expect(
      await recover([removing, { type: 'switched', to: 'new' }, { type: 'activated', ok: true }], 'new', bad),
    ).toMatchObject({ ended: { outcome: 'rolled-back' }, world: back })
  })
  it('a recovery that is cancelled decides nothing: the journal stays open, and nothing goes back', async () => {
    const far = [removing, { type: 'switched', to: 'new' }, { type: 'activated', ok: true }] as const
    let cancelled = false
    const cut = () => {
      cancelled = true
      return new Error('This operation was aborted')
    }
    for (const faults of [{ verify: cut }, { putBack: cut }]) {
      cancelled = false
      const { ended, world } = await recover(far, 'new', { ...faults, cancelled: () => cancelled })
      expect(ended).toMatchObject({ open: true, leftOut: false })
      expect(world.calls).not.toContain('switchTo')
    }
  })
  it('rolling back, switched back and nothing more: carried to its end, for the old release was not activated yet', async () => {
    const far = [removing, { type: 'switched', to: 'new' }, { type: 'rolling-back' }] as const
    const { ended, world } = await recover([...far, { type: 'switching', from: 'new', to: 'old' }], 'old')
    expect(ended).toMatchObject({ outcome: 'rolled-back', rotation: 'in' })
    expect(world).toMatchObject({ ...back, calls: ['activate', 'verify', 'putBack'] })
  })
  it('says that the release before was activated, before it is put back: a second recovery does not restart it while it serves', async () => {
    const { world } = await recover([removing, { type: 'switched', to: 'new' }], 'new')
    expect(world.journal).toEqual(['rolling-back', 'activated'])
  })
  it('rolled back and activated: verified, put back, and told as rolled back', async () => {
    const far = [removing, { type: 'rolling-back' }, { type: 'switched', to: 'old' }] as const
    const { ended, world } = await recover([...far, { type: 'activated', ok: true }], 'old')
    expect(ended).toMatchObject({ outcome: 'rolled-back', rotation: 'in' })
    expect(world.calls).toEqual(['verify', 'putBack'])
  })
  it('rolling back: carried to its end', async () =>
    expect(await recover([removing, { type: 'switched', to: 'new' }, { type: 'rolling-back' }], 'new')).toMatchObject({
      ended: { outcome: 'rolled-back' },
      world: back,
    }))
  it('in place the same, without the balancer', async () => {
    const { ended, world } = await recover([{ type: 'switched', to: 'new' }], 'new')
    expect(ended).toMatchObject({ outcome: 'rolled-back', rotation: 'none' })
    expect(world.calls).toEqual(['switchTo', 'activate', 'verify'])
  })
})

describe('recovery', () => {
  it('does not call a server that was left out on its old release deployed', async () => {
    const { ended } = await recover(
      [removing, { type: 'left-out', receipts: [receipt] }, { type: 'closed', outcome: 'failed', rotation: 'out' }],
      'old',
    )
    expect(ended).toMatchObject({ outcome: 'pending', rotation: 'in', restored: true })
  })
  it('names a server left out, with the reason, when even the previous release does not come up', async () =>
    expect(
      (await recover([removing, { type: 'switched', to: 'new' }], 'new', { verify: () => boom })).ended,
    ).toMatchObject({
      outcome: 'failed',
      leftOut: true,
      receipts: [receipt],
      failure: { message: 'boom' },
    }))
  it('leaves a server open whose lock is lost meanwhile', async () =>
    expect(
      (await recover([removing, { type: 'switched', to: 'new' }], 'new', { activate: () => new LockLostError('gone') }))
        .ended,
    ).toMatchObject({ open: true, leftOut: false }))
  it('does not put back unchecked what was left out before', async () => {
    const { ended, world } = await recover([{ type: 'left-out', receipts: [receipt] }, { type: 'prepared' }], 'old')
    expect(ended).toMatchObject({ leftOut: true, receipts: [receipt] })
    expect(world.calls).toEqual([])
  })
  it('has nothing to do for a closed journal, but for a left-out server when asked for that', () => {
    const closed = (...more: Body[]): Left => ({
      server: 'web1',
      current: 'new',
      journal: journalState(entries(opened, ...more, { type: 'closed', outcome: 'x', rotation: 'in' })),
    })
    expect(needsRecovery(closed(), true)).toBe(false)
    const out = closed({ type: 'left-out', receipts: [receipt] })
    expect([needsRecovery(out, false), needsRecovery(out, true)]).toEqual([false, true])
    expect(needsRecovery(closed({ type: 'left-out', receipts: [receipt] }, { type: 'restored' }), true)).toBe(false)
  })
  it('lets a journal speak only of its own server, and of balancers that the manifest has', () => {
    const others = [
      { ...receipt, server: 'web2' },
      { ...receipt, balancer: 'gone' },
    ]
    const journal = {
      entries: entries(
        opened,
        { type: 'left-out', receipts: others },
        { type: 'closed', outcome: 'failed', rotation: 'out' },
      ),
      corrupt: [],
      stale: [],
    }
    const m = manifest({ servers: [{ name: 'web1' }], keys: { load_balancers: { edge: haproxy() } } })
    const session = { probe: { journal }, server: m.servers[0] } as unknown as Parameters<typeof earlierReceipts>[0]
    expect(earlierReceipts(session, m).map(r => [r.balancer, r.server])).toEqual([['edge', 'web1']])
  })
  it('takes an activation that is known to have failed for a reason to go back', () =>
    expect(recoveryFor({ at: 0, n: 1, type: 'activated', ok: false }, true)).toBe('go back'))
})

describe('a server that was done and went bad in a hold', () => {
  const reopened: readonly Body[] = [{ type: 'left-out', receipts: [] }, { type: 'activated', ok: true }, removing]
  it('is verified before it is put back, when the run was killed while it was taken out', async () => {
    const { ended, world } = await recover(reopened, 'new')
    expect([ended.outcome, world.calls]).toEqual(['succeeded', ['verify', 'putBack']])
  })
  it('goes back to the release before where it is bad still', async () => {
    const { ended, world } = await recover(reopened, 'new', { verify: r => (r === 'new' ? boom : undefined) })
    expect(ended.outcome).toBe('rolled-back')
    expect(world).toMatchObject(back)
  })
})
