import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { LOCK_LOST } from '../../src/release/exit-codes.ts'
import { sweepRemains } from '../../src/release/sweep.ts'
import { brought, locked, releaseNumber } from './a-release.ts'
import { newOwner, ok, run, shells } from './shells.ts'

describe.each(shells)('what is swept under $name', shell => {
  async function littered() {
    const place = await locked(shell)
    const { at } = place
    await brought(shell, place, releaseNumber(1))
    for (const left of [`.gone.${releaseNumber(2)}.12/x`, `.staging.${releaseNumber(3)}`, '.git', '20240101'])
      mkdirSync(at('releases', left), { recursive: true })
    for (const left of ['journal.new', 'upload.12', `marks/${releaseNumber(1)}.new`, 'history'])
      writeFileSync(at('.deploy-action', left), '')
    mkdirSync(at('.deploy-action/lock.of-another'))
    return place
  }

  it('is what was cut off, and nothing of others', async () => {
    const { site, owner, at } = await littered()
    await ok(shell, sweepRemains(site, owner))
    expect(readdirSync(at('releases')).sort()).toEqual(['.git', '20240101', releaseNumber(1)])
    expect(readdirSync(at('.deploy-action')).sort()).toEqual(['history', 'journal', 'lock', 'lock.of-another', 'marks'])
    expect(readdirSync(at('.deploy-action/marks'))).toEqual([releaseNumber(1)])
  })

  it('is nothing without the lock', async () => {
    const { site, at } = await littered()
    const before = readdirSync(at('releases'))
    expect((await run(shell, sweepRemains(site, newOwner()))).code).toBe(LOCK_LOST)
    expect(readdirSync(at('releases'))).toEqual(before)
  })
})
