import { describe, expect, it } from 'vitest'
import { LockLostError, StepError } from '../../src/errors.ts'
import { journalState } from '../../src/release/journal.ts'
import type { JournalEntry } from '../../src/release/journal-entry.ts'
import { recoverServer } from '../../src/rollout/recovery.ts'
import { type Faults, fakeHands, receipt } from './fake-hands.ts'

const opened = {
  type: 'opened',
  deployment: 't',
  run: null,
  release: 'new',
  previous: 'old',
  strategy: 'serial',
  commit: null,
} as const
type Body = Partial<JournalEntry> & { readonly type: JournalEntry['type'] }

async function recover(bodies: readonly Body[], leftOutToo: boolean, faults: Faults = {}) {
  const entries = [opened, ...bodies].map((b, i) => ({ at: i, n: 1, ...b })) as JournalEntry[]
  const { hands, world } = fakeHands(faults)
  world.rotation = 'out'
  const left = { server: 'web1', current: 'old', journal: journalState(entries) }
  const more = { discard: async () => {}, waitForMigration: async () => {} }
  return { ended: await recoverServer(left, { ...hands, ...more }, leftOutToo), world }
}
const before: Body = { type: 'left-out', receipts: [receipt] }

describe('a server that was left out, and whose next deployment was cut off before it changed anything', () => {
  it('goes back by one recover when it is good now', async () => {
    for (const bodies of [[before], [before, { type: 'staging' } as const], [before, { type: 'prepared' } as const]]) {
      const { ended, world } = await recover(bodies, true)
      expect(ended).toMatchObject({ outcome: 'pending', rotation: 'in', leftOut: false, restored: true })
      expect(world.calls).toEqual(['verify', 'putBack'])
    }
  })
  it('stays out, named with the reason, when it is not', async () => {
    const { ended, world } = await recover([before], true, { verify: () => new StepError('503') })
    expect(ended).toMatchObject({ outcome: 'failed', leftOut: true, receipts: [receipt], failure: { message: '503' } })
    expect(world).toMatchObject({ rotation: 'out', calls: ['verify'] })
  })
  it('stays out, named with the reason, where only what is open is recovered', async () => {
    const { ended, world } = await recover([before], false)
    expect(ended).toMatchObject({ leftOut: true, failure: { hint: 'run the command recover' } })
    expect(world.calls).toEqual([])
  })
})

it('leaves a server open whose lock is lost while it is put back', async () => {
  const lost = { putBack: () => new LockLostError('gone') }
  expect((await recover([{ type: 'removing', receipts: [receipt] }], true, lost)).ended).toMatchObject({
    open: true,
    leftOut: false,
  })
})
