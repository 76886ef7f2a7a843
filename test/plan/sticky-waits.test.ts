import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type StoredWaits, sequenceAfter } from '../../src/manifest/kept-waits.ts'
import type { Manifest } from '../../src/manifest/manifest.ts'
import { believedWaits, waitInForce, waitsToStore } from '../../src/plan/sticky-waits.ts'
import { storableRun } from '../../src/release/stored-waits.ts'
import { haproxy, manifest } from './manifests.ts'

const wait = (seconds: number, at = 0) => ({ seconds, deployment: 'd', run: null, at })
const copy = (sequence: number, seconds: number, at = 0): StoredWaits => ({
  sequence,
  balancers: { edge: { removing: wait(seconds, at) } },
})
const edge = (more: Record<string, unknown> = {}): Manifest =>
  manifest({ servers: [{ name: 'web1' }, { name: 'web2' }], keys: { load_balancers: { edge: haproxy([], more) } } })
const removing = (m: Manifest, stored: StoredWaits | null) => waitInForce(m, stored, 'edge', 'removing')
const by = { deployment: 'now', run: null, at: 9 }

describe('which copy counts', () => {
  it('is the one with the highest number', () => {
    expect(believedWaits({ web1: copy(1, 3), web2: copy(2, 5) }).waits).toEqual(copy(2, 5))
    expect(believedWaits({ web1: copy(2, 5), web2: copy(2, 5), web3: copy(1, 3), web4: copy(1, 3) }).waits).toEqual(
      copy(2, 5),
    )
  })
  it('is one of two that are alike before a newer one that a single server has', () => {
    const copies = { web1: copy(4, 3), web2: copy(4, 3), web3: copy(999, 0.1) }
    expect(believedWaits(copies)).toMatchObject({ waits: copy(4, 3), doubted: { server: 'web3' } })
  })
  it('is all there is where only one server has any', () =>
    expect(believedWaits({ web1: copy(2, 5), web2: null, web3: null }).waits).toEqual(copy(2, 5)))
  it('is the later one of two with the same number, whoever has it', () => {
    expect(believedWaits({ web1: copy(2, 5, 100), web2: copy(2, 3, 50) }).waits).toEqual(copy(2, 5, 100))
    expect(believedWaits({ web1: copy(2, 3, 50), web2: copy(2, 5, 100) }).waits).toEqual(copy(2, 5, 100))
  })
  it('is nothing where there is none', () => expect(believedWaits({ web1: null }).waits).toBeNull())

  it('is never changed by what one of three or more servers makes up, when the others agree', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1e9 }),
        fc.integer({ min: 1, max: 1e9 }),
        fc.integer({ min: 0, max: 3600 }),
        fc.integer({ min: 2, max: 5 }),
        (own, made, seconds, honest) => {
          const copies = Object.fromEntries(Array.from({ length: honest }, (_, i) => [`web${i}`, copy(own, 7)]))
          expect(believedWaits({ ...copies, bad: copy(made, seconds) }).waits).toEqual(copy(own, 7))
        },
      ),
    )
  })
})

describe('the wait in force', () => {
  it("is the manifest's, a 0 too, whatever is stored", () => {
    expect(removing(edge({ wait_after_removing_servers: '4' }), copy(9, 7))).toMatchObject({ seconds: 4 })
    expect(removing(edge({ wait_after_removing_servers: '0' }), copy(9, 7))).toMatchObject({ seconds: 0 })
  })
  it('is the stored one where the manifest names none, else none', () => {
    expect(removing(edge(), copy(9, 7))).toMatchObject({ seconds: 7, source: { from: 'stored' } })
    expect(removing(edge(), null)).toEqual({ seconds: 0, source: { from: 'default' } })
  })
  it('is nothing for a balancer that the manifest does not have, nor for a name that every object has', () => {
    const stored = { sequence: 1, balancers: { other: { removing: wait(5) } } }
    expect(waitInForce(edge(), stored, 'other', 'removing').seconds).toBe(0)
    expect(waitInForce(edge(), stored, 'constructor', 'removing').seconds).toBe(0)
  })
})

describe('what a success stores', () => {
  it('is what the manifest names, and what was kept with the deployment that it came from', () => {
    expect(waitsToStore(edge({ wait_after_adding_servers: '2' }), copy(4, 7, 1), by)).toEqual({
      sequence: 5,
      balancers: { edge: { removing: wait(7, 1), adding: { seconds: 2, ...by } } },
    })
  })
  it('after a 0 is a higher number without the wait, so that no old copy brings it back', () => {
    const stored = waitsToStore(edge({ wait_after_removing_servers: '0' }), copy(4, 7), by)
    expect(stored).toEqual({ sequence: 5, balancers: {} })
    expect(believedWaits({ web1: stored, web2: copy(4, 7) }).waits).toEqual(stored)
  })
  it('is nothing at all where there never was a wait', () => expect(waitsToStore(edge(), null, by)).toBeNull())
  it('keeps nothing of a balancer that is gone', () => {
    const stored = { sequence: 1, balancers: { other: { removing: wait(5) } } }
    expect(waitsToStore(edge(), stored, by)).toEqual({ sequence: 2, balancers: {} })
  })
  it('never has a number that would not be read back, nor a run that would not', () => {
    expect(sequenceAfter(1e9)).toBe(1e9)
    expect([storableRun('https://x.example/1'), storableRun('a\nb')]).toEqual(['https://x.example/1', null])
  })
})
