import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { duration } from '../../src/report/durations.ts'
import { foldNames, nameList } from '../../src/report/name-list.ts'
import { planMarkdown, planText } from '../../src/report/plan-text.ts'
import { hostileLines } from './hostile.ts'
import { parallelPlan, planOf, serverNamed } from './recorded.ts'
import { commandsIn } from './runner.ts'

const gated = planOf(['db1', 'web1', 'web2'], {
  strategy: { value: 'serial', origin: 'gate', reason: 'a migration is enabled; parallel was asked for by the input' },
  migration: { enabled: true, origin: 'manifest', reason: 'db/migrate/ changed', server: 'db1', done: false },
  warnings: ['a warning'],
  notices: ['a notice'],
})
const names = (n: number) => Array.from({ length: n }, (_, i) => `web${String(i + 1).padStart(3, '0')}`)

describe('the text of a plan', () => {
  it('says what will happen in which order', () => {
    const chapters = planText(gated)
      .split('\n')
      .filter(line => /^\d\./.test(line))
    expect(chapters.map(line => line.replace(/:.*/, ''))).toEqual([
      '1. Preflight',
      '2. Prepare',
      '3. Migrate',
      '4. Rollout',
    ])
    expect(planText(gated)).toMatch(/db1 .*\n.*web1 .*\n.*web2 /)
  })

  it('says where each effective value came from, and what the waits add and how', () => {
    const text = planText(gated)
    expect(text).toContain(
      'strategy         serial (gate): a migration is enabled; parallel was asked for by the input',
    )
    expect(text).toContain('migration        yes on db1 (manifest): db/migrate/ changed')
    expect(text).toContain('Load-balancer waits add 45 s in all')
    expect(text).toContain('adds 45 s. (10 s + 5 s) × 3 servers')
    expect(text).toContain('Warnings\n  - a warning')
  })

  it('promises no migration where none runs', () => {
    expect(planText({ ...gated, migration: { ...gated.migration, done: true } })).not.toMatch(/\d\. Migrate/)
    expect(planText(planOf(['web1']))).toContain('migration        no (manifest): there is no migrate block')
  })

  it('fits in 100 columns and 40 lines, for 3 servers and for 300', () => {
    for (const plan of [gated, parallelPlan(names(300)), planOf(names(300))]) {
      const lines = planText(plan).split('\n')
      expect(lines.length).toBeLessThan(40)
      for (const line of lines) expect(line.length).toBeLessThanOrEqual(100)
    }
    expect(planText(parallelPlan(names(300)))).toContain('web[001-300]: in place')
  })

  it('says why a server is deployed in place', () => {
    const plan = { ...gated, servers: [serverNamed('db1', { balancers: [], inPlace: 'edge has a single server' })] }
    expect(planText(plan)).toContain('in place: edge has a single server')
    expect(planMarkdown(plan)).toContain('in place: edge has a single server')
  })

  it('holds no command and no Markdown, whatever the manifest says', () => {
    for (const line of hostileLines) {
      const plan = { ...planOf([line]), url: line, warnings: [line], application: line }
      expect(commandsIn(planText(plan))).toEqual([])
      expect(new Set(planMarkdown(plan).match(/<[a-z!/][^>]*>/gi))).toEqual(
        new Set(['<code>', '</code>', ...(line.includes('@') ? ['<!-- -->'] : [])]),
      )
    }
  })
})

describe('the Markdown of a plan', () => {
  it('stays under 900 KiB for 20,000 servers and says what is missing', () => {
    const markdown = planMarkdown(parallelPlan(names(20_000)))
    expect(Buffer.byteLength(markdown)).toBeLessThanOrEqual(900 * 1024)
    expect(markdown).toMatch(/… and [\d,]+ more servers/)
  })
})

describe('lists of names', () => {
  it('fold what counts up into the ranges of a manifest', () => {
    expect(foldNames(['web01', 'web02', 'web03', 'db1', 'web9', 'web10', 'web12'])).toEqual([
      'web[01-03]',
      'db1',
      'web[9-10]',
      'web12',
    ])
    expect(foldNames(['a1.example.com', 'a2.example.com', 'b'])).toEqual(['a[1-2].example.com', 'b'])
    expect(foldNames(['web9', 'web010', 'web2', 'web1'])).toEqual(['web9', 'web010', 'web2', 'web1'])
  })

  it('name everyone once and in order', () => {
    const unfold = (name: string) => {
      const [, before = '', from = '', to = '', after = ''] = /^(.*)\[(\d+)-(\d+)\](.*)$/.exec(name) ?? []
      if (from === '') return [name]
      return Array.from(
        { length: Number(to) - Number(from) + 1 },
        (_, i) => `${before}${String(Number(from) + i).padStart(from.length, '0')}${after}`,
      )
    }
    const name = fc
      .tuple(fc.constantFrom('a', 'b'), fc.nat(12), fc.boolean())
      .map(([p, n, zero]) => `${p}${zero ? String(n).padStart(2, '0') : n}`)
    fc.assert(
      fc.property(fc.array(name), all => {
        expect(foldNames(all).flatMap(unfold)).toEqual(all)
      }),
      { numRuns: 500 },
    )
  })

  it('end in a number when there are too many', () => {
    expect(nameList(['a', 'b', 'c'], 2)).toBe('a, b and 1 more')
  })
})

describe('durations', () => {
  it('read as people say them', () => {
    expect([0, 0.44, 2, 9.94, 9.96, 59.4, 59.6, 65, 3599.7, 7380].map(duration)).toEqual([
      '0 s',
      '0.4 s',
      '2 s',
      '9.9 s',
      '10 s',
      '59 s',
      '1 min 00 s',
      '1 min 05 s',
      '1 h 00 min',
      '2 h 03 min',
    ])
  })
})
