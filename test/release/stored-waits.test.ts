import { existsSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { StoredWaits } from '../../src/manifest/kept-waits.ts'
import { parseProbe, probe } from '../../src/release/probe.ts'
import { longestWait, parseStoredWaits, storeWaitsAlone } from '../../src/release/stored-waits.ts'
import { locked } from './a-release.ts'
import { newOwner, ok, run, shells } from './shells.ts'

const wait = { seconds: 3, deployment: 'a-token', run: `https://example.com/it's/1`, at: 1_700_000_000 }
const waits: StoredWaits = { sequence: 4, balancers: { edge: { removing: wait }, 'a.b-c_d': { adding: wait } } }
const needs = { tools: [], shells: [], shared: [] }
const state = '.deploy-action'

describe.each(shells)('stored waits under $name', shell => {
  const look = async (site: Parameters<typeof probe>[0]) => parseProbe(await ok(shell, probe(site, needs))).waits

  it('are read back as they were written, each environment by itself, with nothing left beside them', async () => {
    const { site, owner, at } = await locked(shell)
    expect(await look(site)).toBeNull()
    await ok(shell, storeWaitsAlone(site, owner, waits))
    const other = { ...site, environment: 'qa.json' }
    await ok(shell, storeWaitsAlone(other, owner, { ...waits, sequence: 9 }))
    expect(await look(site)).toEqual(waits)
    expect((await look(other))?.sequence).toBe(9)
    expect(await look({ ...site, environment: 'qa' })).toBeNull()
    expect(readdirSync(at(state)).filter(f => f.startsWith('waits-'))).toHaveLength(2)
    await ok(shell, storeWaitsAlone(site, owner, { sequence: 5, balancers: {} }))
    expect(await look(site)).toEqual({ sequence: 5, balancers: {} })
  })

  it('are not written without the lock, and replace a link instead of following it', async () => {
    const { site, owner, at } = await locked(shell)
    expect((await run(shell, storeWaitsAlone(site, newOwner(), waits))).code).not.toBe(0)
    const file = `waits-${site.environment ?? '_'}.json`
    expect(existsSync(at(state, file))).toBe(false)
    writeFileSync(at('elsewhere'), 'mine')
    symlinkSync(at('elsewhere'), at(state, file))
    await ok(shell, storeWaitsAlone(site, owner, waits))
    expect(readFileSync(at('elsewhere'), 'utf8')).toBe('mine')
    expect(statSync(at(state, file)).isFile()).toBe(true)
    expect(await look(site)).toEqual(waits)
  })
})

describe('a copy that a server made up', () => {
  const of = (value: unknown) => parseStoredWaits(JSON.stringify(value))
  const edge = (more: object) => of({ sequence: 1, balancers: { edge: { removing: { ...wait, ...more } } } })

  it('is capped at one hour', () =>
    expect(edge({ seconds: 1e300 })?.balancers['edge']?.removing?.seconds).toBe(longestWait))

  it.each([
    ['a negative wait', edge({ seconds: -1 })],
    ['a wait that is no number', edge({ seconds: '9' })],
    ['no number', parseStoredWaits('{"sequence":1,"balancers":{"edge":{"removing":{"seconds":NaN}}}}')],
    ['a run with a line end', edge({ run: 'https://x/\n::error::y' })],
    ['a run that is no address', edge({ run: 'javascript:x' })],
    ['a deployment with anything in it', edge({ deployment: '<b>' })],
    ['a time after all time', edge({ at: 1e15 })],
    ['a huge sequence number', of({ sequence: 1e12, balancers: {} })],
    ['a broken sequence number', of({ sequence: 1.5, balancers: {} })],
    ['a name that is none', of({ sequence: 1, balancers: { 'a b': {} } })],
    [
      'a thousand balancers',
      of({
        sequence: 1,
        balancers: Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`b${i}`, {}])),
      }),
    ],
    ['nothing', parseStoredWaits('')],
    ['another thing', of([1])],
  ])('with %s counts as none', (_, read) => expect(read).toBeNull())
})
