import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Finish, finish } from '../../src/release/finish.ts'
import { type HistoryEntry, parseHistory } from '../../src/release/history.ts'
import { journalState, parseJournal } from '../../src/release/journal.ts'
import { type Mark, parseMark, prunable } from '../../src/release/marks.ts'
import { parseProbe, probe } from '../../src/release/probe.ts'
import { sweepRemains } from '../../src/release/sweep.ts'
import { switchTo } from '../../src/release/switch.ts'
import { brought, locked, releaseNumber } from './a-release.ts'
import { dash, ok, run, type Shell, shells, temporary } from './shells.ts'

const nothing: Finish = {
  mark: null,
  history: null,
  closed: null,
  restored: false,
  leftOut: [],
  remove: [],
  waits: null,
}
const history: HistoryEntry = {
  deployment: 'a-token-of-a-deployment',
  command: 'deploy',
  release: releaseNumber(1),
  previous: null,
  commit: null,
  strategy: 'serial',
  outcome: 'succeeded',
  rotation: 'in',
  run: 'https://example.com/runs/1',
  actor: `it's "me"`,
}
const needs = { tools: [], shells: [], shared: [] }
const marksOf = async (shell: Shell, site: Parameters<typeof probe>[0]) =>
  parseProbe(await ok(shell, probe(site, needs))).marks

describe.each(shells)('the end of a deployment under $name', shell => {
  it('marks the release, writes history and closes the journal', async () => {
    const place = await locked(shell)
    const { site, owner, at } = place
    await brought(shell, place, releaseNumber(1))
    await brought(shell, place, releaseNumber(2))
    const end = { ...nothing, history, closed: { outcome: 'succeeded', rotation: 'in' } }
    await ok(shell, finish(site, owner, { ...end, mark: { release: releaseNumber(1), result: 'good' } }))
    await ok(shell, finish(site, owner, { ...end, mark: { release: releaseNumber(2), result: 'bad' } }))
    expect(parseHistory(readFileSync(at('.deploy-action/history'), 'utf8'))).toMatchObject([history, history])
    expect(journalState(parseJournal(readFileSync(at('.deploy-action/journal'), 'utf8')).entries).open).toBe(false)
    expect(await marksOf(shell, site)).toMatchObject([
      { id: releaseNumber(1), result: 'good', order: 3 },
      { id: releaseNumber(2), result: 'bad', order: 4 },
    ])
  })

  it('keeps the receipts of a server that is left out', async () => {
    const { site, owner, at } = await locked(shell)
    const receipt = { balancer: 'edge', server: 'web1', before: 'serving' as const, data: { weight: 3 } }
    const closed = { outcome: 'failed', rotation: 'out' }
    await ok(shell, finish(site, owner, { ...nothing, closed, leftOut: [receipt] }))
    const { entries } = parseJournal(readFileSync(at('.deploy-action/journal'), 'utf8'))
    expect(journalState(entries)).toMatchObject({ open: false, leftOut: [receipt], last: closed })
  })

  it('removes what it is told to, but nothing that is unmarked or current', async () => {
    const place = await locked(shell)
    const { site, owner, at } = place
    for (const n of [1, 2, 3]) await brought(shell, place, releaseNumber(n))
    await ok(shell, switchTo(site, owner, releaseNumber(3)))
    mkdirSync(at('releases', releaseNumber(4)))
    mkdirSync(at('releases/20240101'))
    const remove = [1, 3, 4, 5].map(releaseNumber)
    await ok(shell, finish(site, owner, { ...nothing, remove }))
    expect(readdirSync(at('releases')).sort()).toEqual(['20240101', ...[2, 3, 4].map(releaseNumber)])
    expect((await marksOf(shell, site)).map(m => m.id)).toEqual([2, 3].map(releaseNumber))
    expect(existsSync(at('current/id'))).toBe(true)
    expect(() => finish(site, owner, { ...nothing, remove: ['../shared'] })).toThrow(/release/)
  })
})

describe('a prune that is cut off', () => {
  /** A PATH whose `rm` ends the whole script when it is asked to remove what fits, before or after it did. */
  function deadlyRm(what: string, removesFirst: boolean): string {
    const directory = temporary('deadly-')
    const first = removesFirst ? '/bin/rm "$@"; ' : ''
    const text = `#!/bin/sh\ncase "$*" in *${what}*) ${first}kill -KILL 0 ;; esac\nexec /bin/rm "$@"\n`
    writeFileSync(join(directory, 'rm'), text, { mode: 0o755 })
    return `${directory}:${dash.path}`
  }

  it.each([
    { what: '/marks/', removesFirst: false },
    { what: '/marks/', removesFirst: true },
    { what: '/releases/', removesFirst: false },
  ])('leaves no release without its mark in its place, and nothing after a sweep ($what, $removesFirst)', async cut => {
    const place = await locked(dash)
    const { site, owner, at } = place
    for (const n of [1, 2]) await brought(dash, place, releaseNumber(n))
    const end = finish(site, owner, { ...nothing, remove: [releaseNumber(1)] })
    expect((await run(dash, end, { env: { PATH: deadlyRm(cut.what, cut.removesFirst) } })).code).toBe(null)
    const inPlace = readdirSync(at('releases')).filter(name => !name.startsWith('.'))
    expect((await marksOf(dash, site)).map(m => m.id).sort()).toEqual(inPlace.sort())
    await ok(dash, sweepRemains(site, owner))
    expect(readdirSync(at('releases')).sort()).toEqual(inPlace)
    // The next time it is as if it had never been cut off.
    await ok(dash, end)
    expect(readdirSync(at('releases'))).toEqual([releaseNumber(2)])
  })
})

describe('what is pruned', () => {
  const id = fc.integer({ min: 1, max: 12 }).map(releaseNumber)
  const marks = fc
    .uniqueArray(fc.record({ id, result: fc.constantFrom('good', 'bad', 'prepared') }), { selector: m => m.id })
    .chain(all =>
      fc
        .uniqueArray(fc.integer({ min: 1, max: 99 }), { minLength: all.length, maxLength: all.length })
        .map(orders => all.map((m, i): Mark => ({ ...m, order: orders[i] ?? 0, at: 0 }) as Mark)),
    )
  const kept = fc.record({
    keep: fc.integer({ min: 1, max: 6 }),
    current: fc.option(id),
    previous: fc.option(id),
    unfinished: fc.array(id, { maxLength: 2 }),
  })

  it('is what no rule keeps: a model of it, release by release', () => {
    fc.assert(
      fc.property(marks, kept, (all, rules) => {
        const gone = prunable(all, rules)
        for (const mark of all) {
          const newerGood = all.filter(m => m.result === 'good' && m.order > mark.order).length
          const stays =
            mark.id === rules.current ||
            mark.id === rules.previous ||
            rules.unfinished.includes(mark.id) ||
            (mark.result === 'good' && newerGood < rules.keep)
          expect(gone.includes(mark.id)).toBe(!stays)
        }
        expect(gone.every(g => all.some(m => m.id === g))).toBe(true)
      }),
    )
  })

  it('never believes a mark that is not one of ours', () => {
    expect(parseMark(`${releaseNumber(1)}\tgood\t3\t17`)).toEqual({
      id: releaseNumber(1),
      result: 'good',
      order: 3,
      at: 17,
    })
    for (const line of ['', '../x\tgood\t1\t1', `${releaseNumber(1)}\tgreat\t1\t1`, `${releaseNumber(1)}\tgood\t-1\t1`])
      expect(parseMark(line)).toBeNull()
  })
})
