import { describe, expect, it } from 'vitest'
import { failurePoints, failureTable, mayFollow, rowFor, stages, transitions } from '../../src/rollout/way.ts'

describe('the table of failures', () => {
  it('has exactly one row for each failure, mode and on_failure', () => {
    for (const at of failurePoints)
      for (const mode of ['taken out', 'in place'] as const)
        for (const onFailure of ['stop', 'rollback'] as const) {
          const rows = failureTable.filter(
            r => r.at.includes(at) && ['any', mode].includes(r.mode) && ['any', onFailure].includes(r.onFailure),
          )
          if (at === 'adding: unhealthy' && mode === 'in place') continue
          expect(rows, `${at}, ${mode}, ${onFailure}`).toHaveLength(1)
          expect(rowFor(at, mode, onFailure)).toBe(rows[0])
        }
  })
  it('ends a server in rotation or names it left out, never silently', () => {
    for (const row of failureTable) expect(row.remedy === 'leave out').toBe(row.rotation === 'out')
  })
})

describe('the stages', () => {
  it('can all be reached, and end', () => {
    const reached = new Set(['pending', ...Object.values(transitions).flat()])
    expect([...reached].sort()).toEqual([...stages].sort())
    for (const last of ['done', 'failed', 'rolled-back', 'left-out'] as const) expect(transitions[last]).toEqual([])
  })
  it('never switch a server that was not drained, except in place', () => {
    expect(mayFollow('removing', 'switching')).toBe(false)
    expect(mayFollow('draining', 'activating')).toBe(false)
  })
})
