import { describe, expect, it } from 'vitest'
import type { JournalEntry } from '../../src/release/journal-entry.ts'
import { journalWords } from '../../src/release/journal-words.ts'
import { clockTime } from '../../src/times.ts'

const entry = (body: object) => ({ at: 1_795_262_844, n: 1, ...body }) as JournalEntry
const receipt = { balancer: 'edge', server: 'web1', before: 'serving', data: {} }

describe('a journal in words', () => {
  it('says each line as a person would', () =>
    expect(
      [
        {
          type: 'opened',
          deployment: 't',
          run: null,
          release: 'new',
          previous: 'releases/old',
          strategy: 'serial',
          commit: null,
        },
        { type: 'removing', receipts: [receipt, { ...receipt, balancer: 'other' }] },
        { type: 'switching', from: 'releases/old', to: 'releases/new' },
        { type: 'activated', ok: false },
        { type: 'migrated', code: null },
        { type: 'migrated', code: 3 },
        { type: 'left-out', receipts: [receipt] },
        { type: 'closed', outcome: 'failed', rotation: 'out' },
        { type: 'closed', outcome: 'pending', rotation: 'none' },
        { type: 'rolling-back' },
      ].map(e => journalWords(entry(e))),
    ).toEqual([
      'deployment of new begins (serial); before: old',
      'taking it out of rotation at edge, other',
      'switching from old to new',
      'the activation failed',
      'the migration ended without telling how',
      'the migration failed with exit code 3',
      'left out of rotation at edge',
      'ended: failed, rotation out',
      'ended: pending',
      'going back to the release before',
    ]))
  it('says when, by the server’s clock, whatever that says', () => {
    expect(clockTime(1_795_262_844)).toBe('2026-11-21 12:07:24 UTC')
    expect(clockTime(1e300)).toBe('at an unknown time')
  })
})
