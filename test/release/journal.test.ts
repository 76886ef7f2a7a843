import { execFileSync } from 'node:child_process'
import { appendFileSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { cksum } from '../../src/release/cksum.ts'
import { LOCK_LOST } from '../../src/release/exit-codes.ts'
import { journalState, parseJournal } from '../../src/release/journal.ts'
import type { JournalBody, StoredReceipt } from '../../src/release/journal-entry.ts'
import { journal } from '../../src/release/journal-lines.ts'
import { takeLock } from '../../src/release/lock.ts'
import { note, openJournal } from '../../src/release/open-journal.ts'
import { dash, lockEntries, newOwner, newSite, ok, run, shells, stateOf } from './shells.ts'

const receipt = (balancer: string, weight = 1): StoredReceipt => ({
  balancer,
  server: 'it\'s web1 \\ "€"',
  before: 'serving',
  data: { weight },
})
const opened = {
  deployment: 'a-token-of-a-deployment',
  run: null,
  release: 'nocommit-12345678',
  previous: null,
  strategy: 'serial',
  commit: null,
}
const fileOf = (site: Parameters<typeof stateOf>[0]) => join(stateOf(site), 'journal')
const linesOf = (text: string) => text.split('\n').filter(line => line !== '')

it('has the checksum of cksum, whatever the bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), bytes => {
      const said = execFileSync('cksum', { input: bytes, encoding: 'utf8' }).trim()
      expect(cksum(bytes)).toBe(said)
    }),
    { numRuns: 40 },
  )
})

describe.each(shells)('a journal written by $name', shell => {
  const begun = async () => {
    const [site, owner] = [newSite(), newOwner()]
    await ok(shell, takeLock(site, owner))
    await ok(shell, openJournal(site, owner, opened))
    return { site, owner, file: fileOf(site) }
  }

  it('reads back as it was written, with time and fencing number', async () => {
    const { site, owner, file } = await begun()
    const bodies: JournalBody[] = [
      { type: 'staging' },
      { type: 'removing', receipts: [receipt('edge')] },
      { type: 'switching', from: null, to: 'releases/x' },
      { type: 'activated', ok: false },
      { type: 'migrated', code: null },
      { type: 'closed', outcome: 'failed', rotation: 'out' },
    ]
    await ok(shell, note(site, owner, bodies))
    const { entries, corrupt, stale } = parseJournal(readFileSync(file, 'utf8'))
    expect([corrupt, stale]).toEqual([[], []])
    expect(entries).toMatchObject([{ type: 'opened', ...opened }, ...bodies])
    for (const entry of entries) {
      expect(Math.abs(entry.at - Date.now() / 1000)).toBeLessThan(3600)
      expect(entry.n).toBe(1)
    }
  })

  it('divides many receipts over lines, none longer than one write takes', async () => {
    const { site, owner, file } = await begun()
    const receipts = Array.from({ length: 12 }, (_, i) => ({ ...receipt(`lb${i}`), data: { text: 'é'.repeat(1500) } }))
    await ok(shell, note(site, owner, [{ type: 'removing', receipts }]))
    const text = readFileSync(file)
    for (const line of text.toString().split('\n')) expect(Buffer.byteLength(line)).toBeLessThan(4095)
    expect(journalState(parseJournal(text.toString()).entries).receipts).toEqual(receipts)
  })

  it('torn at any byte counts the whole lines, and goes on after it', { timeout: 120_000 }, async () => {
    const { site, owner, file } = await begun()
    await ok(shell, note(site, owner, [{ type: 'staging' }, { type: 'staged' }]))
    const text = readFileSync(file)
    const last = text.toString().slice(0, -1).lastIndexOf('\n') + 1
    for (let cut = last; cut <= text.length; cut++) {
      const whole = cut >= text.length - 1 ? ['opened', 'staging', 'staged'] : ['opened', 'staging']
      const read = parseJournal(text.subarray(0, cut).toString())
      expect([read.entries.map(e => e.type), read.corrupt]).toEqual([whole, []])
      // every byte for the reader; for the writer, which forks, some of them
      if (cut % 9 !== 0 && cut < text.length - 2) continue
      writeFileSync(file, text.subarray(0, cut))
      await ok(shell, note(site, owner, [{ type: 'out' }]))
      const healed = parseJournal(readFileSync(file, 'utf8'))
      expect(healed.entries.map(e => e.type)).toEqual([...whole, 'out'])
      expect(healed.corrupt).toEqual(cut === last || whole.length === 3 ? [] : [3])
    }
  })

  it('goes on after zeros that a crash left at its end', async () => {
    const { site, owner, file } = await begun()
    appendFileSync(file, Buffer.alloc(50))
    await ok(shell, note(site, owner, [{ type: 'out' }]))
    expect(parseJournal(readFileSync(file, 'utf8')).entries.map(e => e.type)).toEqual(['opened', 'out'])
  })

  it('begins anew with a deployment; the one before is kept, and what was left out is carried over', async () => {
    const { site, owner, file } = await begun()
    const before = readFileSync(file, 'utf8')
    await ok(shell, openJournal(site, owner, opened, [receipt('edge'), receipt('other')]))
    expect(readFileSync(`${file}.1`, 'utf8')).toBe(before)
    const state = journalState(parseJournal(readFileSync(file, 'utf8')).entries)
    expect(state).toMatchObject({ open: true, leftOut: [receipt('edge'), receipt('other')], receipts: [] })
  })

  it('is not written by one who lost the lock', async () => {
    const { site, file } = await begun()
    const before = readFileSync(file)
    expect((await run(shell, note(site, newOwner(), [{ type: 'out' }]))).code).toBe(LOCK_LOST)
    expect(readFileSync(file).equals(before)).toBe(true)
  })

  it('has room reserved, which a full disk gives up', async () => {
    const { site } = await begun()
    expect(statSync(join(stateOf(site), 'room')).size).toBe(64 * 1024)
  })
})

it.each(shells)('an intent that cannot be written ends the script before it acts, under $name', async shell => {
  const [site, owner] = [newSite(), newOwner()]
  await ok(shell, takeLock(site, owner))
  await ok(shell, openJournal(site, owner, opened))
  rmSync(fileOf(site))
  execFileSync('mkdir', [fileOf(site)]) // nobody, root included, appends to a directory
  const { code, stderr } = await run(
    shell,
    `${note(site, owner, [{ type: 'out' }]).replace(/exit 0\n$/, '')}echo acted`,
  )
  expect(code).toBe(81)
  expect(stderr).toContain('cannot be written')
  expect(existsSync(join(stateOf(site), 'room'))).toBe(false)
})

describe('a journal read', () => {
  const line = (entry: object) => {
    const json = JSON.stringify(entry)
    return `{"c":"${cksum(Buffer.from(json))}","e":${json}}`
  }
  const at = (n: number, body: object) => line({ at: 1, n, ...body })

  it('reports a corrupt line before the last, and never believes one', () => {
    const good = at(1, { type: 'staging' })
    const text = [good, good.replace('staging', 'removed'), good, `${good.slice(0, -4)}`].join('\n')
    expect(parseJournal(text)).toMatchObject({ entries: [{ type: 'staging' }, { type: 'staging' }], corrupt: [2] })
  })

  it('does not count lines of an owner that had lost the lock', () => {
    const text = [at(3, { type: 'staging' }), at(4, { type: 'out' }), at(3, { type: 'staged' })].join('\n')
    expect(parseJournal(text)).toMatchObject({ entries: [{ type: 'staging' }, { type: 'out' }], stale: [3] })
  })

  it('takes no entry of an unknown kind or with a wrong field', () => {
    for (const body of [{ type: 'obey' }, { type: 'activated', ok: 'yes' }, { type: 'removing', receipts: [{}] }])
      expect(parseJournal(`${at(1, body)}\n${at(1, { type: 'out' })}\n`)).toMatchObject({
        entries: [{ type: 'out' }],
        corrupt: [1],
      })
  })

  it('never throws, whatever a server says', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 300 }), text => void parseJournal(text)))
  })

  it('is open until the deployment decided; receipts stay until the server is restored', () => {
    const entries = (bodies: object[]) => parseJournal(bodies.map(b => at(1, b)).join('\n')).entries
    const begin = { type: 'opened', ...opened }
    expect(journalState([])).toMatchObject({ open: false, opened: null, last: null })
    const removing = entries([begin, { type: 'removing', receipts: [receipt('edge')] }, { type: 'out' }])
    expect(journalState(removing)).toMatchObject({ open: true, receipts: [receipt('edge')], last: { type: 'out' } })
    const again = [begin, { type: 'removing', receipts: [receipt('edge', 1)] }]
    const twice = entries([...again, { type: 'removing', receipts: [receipt('edge', 2)] }])
    expect(journalState(twice).receipts).toEqual([receipt('edge', 2)])
    const restored = entries([...again, { type: 'restored' }, { type: 'closed', outcome: 'failed', rotation: 'in' }])
    expect(journalState(restored)).toMatchObject({ open: false, receipts: [], leftOut: [] })
    const left = entries([
      begin,
      { type: 'left-out', receipts: [receipt('edge')] },
      { type: 'closed', outcome: 'failed', rotation: 'out' },
    ])
    expect(journalState(left)).toMatchObject({ open: false, leftOut: [receipt('edge')] })
  })

  it('stays decided when the last script, which says it once more, is cut off; a step back opens it again', () => {
    const closed = { type: 'closed', outcome: 'rolled-back', rotation: 'in' } as const
    const leftOut = { type: 'left-out', receipts: [receipt('edge')] } as const
    const open = (...more: object[]) =>
      journalState(parseJournal([{ type: 'opened', ...opened }, ...more].map(b => at(1, b)).join('\n')).entries).open
    expect(open(closed, { type: 'restored' })).toBe(false)
    expect(open(closed, leftOut)).toBe(false)
    expect(open({ type: 'restored' })).toBe(true)
    expect(open(leftOut)).toBe(true)
    expect(open(closed, { type: 'rolling-back' })).toBe(true)
    expect(open(closed, { type: 'rolling-back' }, { type: 'restored' })).toBe(true)
  })

  it('refuses an entry that does not fit into one write', () => {
    const huge: JournalBody = { type: 'removing', receipts: [{ ...receipt('edge'), data: { text: 'x'.repeat(5000) } }] }
    expect(() => journal(huge)).toThrow(/does not fit/)
  })
})

it('numbers what is written with the lock’s number', async () => {
  const site = newSite()
  for (const number of [1, 2, 3]) {
    const owner = newOwner()
    await ok(dash, takeLock(site, owner))
    await ok(dash, openJournal(site, owner, opened))
    expect(parseJournal(readFileSync(fileOf(site), 'utf8')).entries[0]?.n).toBe(number)
    const [entry = ''] = lockEntries(site)
    const free = `mv '${join(stateOf(site), 'lock', entry)}' '${join(stateOf(site), 'lock')}/free.${number}'`
    await ok(dash, free)
    expect(linesOf(readFileSync(fileOf(site), 'utf8'))).toHaveLength(1)
  }
})
