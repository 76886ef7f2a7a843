import { describe, expect, it } from 'vitest'
import type { Event } from '../../src/report/events.ts'
import { fittingOf } from '../../src/report/markdown.ts'
import { recap } from '../../src/report/recap.ts'
import { createRecorder, reportJson } from '../../src/report/report-json.ts'
import { emptyState, replay } from '../../src/report/state.ts'
import { longestSummary, summary } from '../../src/report/summary.ts'
import { timeline } from '../../src/report/timeline.ts'
import { hostileLines } from './hostile.ts'
import {
  begin,
  cancelledRun,
  endedWith,
  finish,
  leftOutRun,
  manyServers,
  parallelFailure,
  planOf,
  prepare,
  recording,
  release,
  serialSuccess,
  step,
} from './recorded.ts'
import { commandsIn } from './runner.ts'

const summaryOf = (events: readonly Event[]) => summary(replay(events))
const headings = (markdown: string) => markdown.split('\n').filter(line => /^#+ /.test(line))
/** Seconds of work on a quiet machine: 45 MB of text. */
const large = { timeout: 300_000 }
/** Text as a reader sees it: references resolved. */
const seen = (markdown: string) =>
  markdown.replaceAll('<!-- -->', '').replace(/&#(\d+);/g, (_, n: string) => String.fromCodePoint(Number(n)))

describe('the summary', () => {
  it('writes no more of many servers than goes into it', () => {
    const made: number[] = []
    const { kept, left } = fittingOf(
      Array.from({ length: 5000 }, (_, i) => i),
      i => {
        made.push(i)
        return 'x'.repeat(98)
      },
      1000,
    )
    expect([kept.length, left, made.length]).toEqual([10, 4990, 11])
    expect(fittingOf([], String, 0)).toEqual({ kept: [], left: 0 })
  })

  it.each([
    ['report', 'no server had to be reached'],
    ['validate', 'no server had to be reached'],
    ['deploy', 'no server was reached'],
  ])('of a %s that failed before any server says: %s', (command, said) => {
    const r = recording()
    r.emit({ type: 'run-started', command, manifest: 'deploy.yml', runUrl: null })
    const state = replay(finish(r, 'failure', { message: 'no' }))
    expect(summary(state)).toContain(`**${said}**`)
    expect(recap(state).at(-1)?.text).toMatch(new RegExp(`^failure: ${said}, in `))
  })

  it('tells of a serial success: result, where each value came from, and a section per server', () => {
    const markdown = summaryOf(serialSuccess())
    expect(headings(markdown)).toEqual([
      '## ✅ storefront → production: deployed',
      '## What it ran as',
      '## Servers',
      '## Out of rotation',
      '## Load-balancer waits',
      '## Warnings and notices',
      '## Each server',
      '### web1',
      '### web2',
      '### db1',
    ])
    expect(seen(markdown)).toContain('**3 succeeded**')
    expect(seen(markdown)).toContain('| strategy | **serial** | the manifest: rollout.strategy says serial |')
    expect(seen(markdown)).toContain(`<code>${release}</code>`)
    expect(seen(markdown)).toContain('45 s: (10 s + 5 s) × 3 servers')
  })

  it('shows in a server’s section stages, steps, balancers and the verify answer in the order they began', () => {
    const section = seen(summaryOf(serialSuccess())).split('### web1\n')[1]!.split('### web2')[0]!
    const what = section
      .split('\n')
      .filter(line => line.startsWith('| +'))
      .map(line => line.split(' | ')[1])
    expect(what).toEqual([
      '**preparing**',
      'release uploaded',
      'prepare: <code>bundle install</code>',
      '**removing**',
      'balancer <code>edge</code>: removed',
      '**draining**',
      'balancer <code>edge</code>: drained',
      'waits: wait_after_removing_servers of edge',
      '**switching**',
      '**activating**',
      'activate: <code>sudo systemctl restart puma</code>',
      '**verifying**',
      'verified: <code>http :3000/up</code>',
      '**adding**',
      'balancer <code>edge</code>: restored',
      'balancer <code>edge</code>: serving',
    ])
    expect(section).toContain('200 OK in 12 ms')
    expect(section).toContain('was out of rotation for 17 s')
  })

  it('is loud about a left-out server: first of all, with the command that puts it back', () => {
    const markdown = summaryOf(leftOutRun())
    expect(headings(markdown).slice(0, 3)).toEqual([
      '## ❌ storefront → production: deployment failed',
      '## 🚨 1 server is left out of rotation',
      '## Failures',
    ])
    expect(seen(markdown)).toContain(
      '<pre>echo "set server storefront/web2 state ready" | socat stdio /run/haproxy/admin.sock\n</pre>',
    )
  })

  it('shows a failure with its message, what to do next and what was printed last', () => {
    const text = seen(summaryOf(leftOutRun()))
    expect(text).toContain('#### ❌ web2: verifying failed')
    expect(text).toContain('http :3000/up answered 500 Internal Server Error for 30 s')
    expect(text).toContain('➜ look at log/production.log on web2')
    expect(text).toMatch(/<details><summary>What was printed last<\/summary>\n\n<pre>Starting puma…\n! Unable to load/)
    expect(text.indexOf('web2 | web')).toBeLessThan(text.indexOf('web1 | web'))
  })

  it('tells of a rolled-back server, and of one that no check selects', () => {
    const text = seen(summaryOf(parallelFailure()))
    expect(text).toContain('#### ↩️ web2: activating failed')
    expect(text).toContain('succeeded, not verified')
    expect(text).not.toContain('## Out of rotation')
  })

  it('tells of a cancelled run which servers nothing was decided about', () => {
    const text = seen(summaryOf(cancelledRun()))
    expect(text).toContain('🛑 storefront → production: deployment cancelled')
    expect(text).toContain('the run was cancelled (SIGINT)')
    expect(text).toContain('The run ended before anything was decided about this server.')
  })

  it('can be written at any moment', () => {
    expect(summary(emptyState)).toContain('not finished')
    const events = leftOutRun()
    for (let n = 1; n < events.length; n++) expect(summaryOf(events.slice(0, n)).length).toBeGreaterThan(20)
  })

  it('has a section for each of 300 servers', () => {
    const markdown = summaryOf(manyServers(300))
    expect(headings(markdown).filter(line => line.startsWith('### '))).toHaveLength(300)
    expect(Buffer.byteLength(markdown)).toBeLessThan(longestSummary)
  })

  it(
    'stays under 900 KiB for 6,000 servers, says what is missing, and keeps overview, failures and their sections',
    large,
    () => {
      const markdown = summaryOf(manyServers(6000, 'é|<&'.repeat(3000)))
      expect(Buffer.byteLength(markdown)).toBeLessThanOrEqual(longestSummary)
      expect(markdown).toMatch(/the sections of [\d,]+ servers are left out here/)
      expect(markdown).toContain('## Failures')
      expect(markdown).toContain('## Servers')
      expect(headings(markdown).filter(line => line.startsWith('#### '))).toHaveLength(200)
      expect(markdown).toContain('### web0008\n')
    },
  )

  it('stays under 900 KiB when every one of 3,000 servers is left out with long messages', large, () => {
    const names = Array.from({ length: 3000 }, (_, i) => `web${i}`)
    const r = recording()
    begin(r, planOf(names))
    const long = '<'.repeat(5000)
    for (const name of names) {
      r.emit({ type: 'message', level: 'warning', text: long + name })
      r.emit(
        endedWith(name, {
          outcome: 'failed',
          leftOut: true,
          rotation: 'out',
          putBack: long,
          failure: { stage: 'adding', message: long, hint: long, tail: long },
        }),
      )
    }
    const markdown = summaryOf(finish(r, 'failure', { message: long, hint: long }))
    expect(Buffer.byteLength(markdown)).toBeLessThanOrEqual(longestSummary)
    expect(markdown).toContain('## 🚨 3,000 servers are left out of rotation')
    for (const heading of ['## Failures', '## Servers', '## Warnings and notices', '## Each server'])
      expect(markdown).toContain(heading)
  })

  it('holds no Markdown, no HTML and no control of a server’s', () => {
    for (const hostile of hostileLines) {
      const r = recording()
      const plan = planOf([hostile, 'web2'], { warnings: [hostile], url: hostile })
      begin(r, plan)
      prepare(r, plan)
      step(r, hostile, 'activate', hostile, hostile, { ok: false, detail: hostile })
      r.emit({ type: 'verified', server: hostile, check: hostile, seconds: 1, detail: hostile })
      r.emit({ type: 'balancer', server: hostile, balancer: hostile, what: 'removed', seconds: 1, detail: hostile })
      r.emit({ type: 'message', level: 'warning', text: hostile, hint: hostile, server: hostile })
      r.emit(
        endedWith(hostile, {
          outcome: 'failed',
          leftOut: true,
          putBack: hostile,
          failure: { stage: hostile, message: hostile, hint: hostile, tail: hostile },
        }),
      )
      const markdown = summaryOf(finish(r, 'failure', { message: hostile, hint: hostile }))
      expect(new Set(markdown.match(/<[a-z!/][^>]*>/gi))).toEqual(
        new Set([
          '<code>',
          '</code>',
          '<pre>',
          '</pre>',
          '<details>',
          '</details>',
          '<summary>',
          '</summary>',
          ...(/@/.test(hostile) ? ['<!-- -->'] : []),
        ]),
      )
      // Inside <pre> all but <, > and & is text.
      expect(markdown.replace(/<pre>[^<]*<\/pre>/g, '')).not.toMatch(
        /[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2028]|\]\(|!\[|https?:\/\//,
      )
      for (const row of markdown.split('\n').filter(line => line.startsWith('| +')))
        expect(row.match(/\|/g)).toHaveLength(5)
    }
  })
})

describe('the timeline', () => {
  it('draws one server after the other', () => {
    const [head, ...rows] = timeline(replay(serialSuccess()))!.split('\n')
    expect(head).toMatch(/^ +0 s +\d+ s$/)
    expect(rows.map(row => row.split(' ')[0])).toEqual(['web1', 'web2', 'db1'])
    const bars = rows.map(row => /[█·]+/.exec(row)![0])
    for (const place of Array.from(bars[0]!).keys())
      expect(bars.filter(bar => bar[place] === '█').length).toBeLessThanOrEqual(1)
    for (const line of rows) expect(line.length).toBeLessThanOrEqual(100)
  })

  it('shows who is still out', () => {
    expect(timeline(replay(leftOutRun()))!.split('\n')[2]).toMatch(/^web2 +·+█+▶ {2}15 s, still out$/)
  })

  it('is left out with a word for more than 40 servers, and without one where nobody was out', () => {
    const names = Array.from({ length: 41 }, (_, i) => `web${i}`)
    expect(timeline(replay(serialSuccess(names)))).toMatch(/^41 servers were out of rotation/)
    expect(timeline(replay(parallelFailure()))).toBeNull()
  })
})

describe('report.json', () => {
  const jsonOf = (events: readonly Event[]) => {
    const recorder = createRecorder()
    for (const event of events) recorder.listener(event)
    return reportJson(replay(events), recorder.events())
  }

  it('holds the whole run but raw output, in version 1', () => {
    const report = JSON.parse(jsonOf(leftOutRun())) as {
      version: number
      result: string
      servers: { name: string; outcome: string; secondsOut: number | null }[]
      events: Event[]
      eventsLeftOut: number
      plan: { application: string }
    }
    expect(report).toMatchObject({
      version: 1,
      result: 'failure',
      plan: { application: 'storefront' },
      eventsLeftOut: 0,
    })
    expect(report.servers.map(s => [s.name, s.outcome])).toEqual([
      ['web1', 'succeeded'],
      ['web2', 'failed'],
      ['web3', 'pending'],
    ])
    expect(report.events.at(-1)).toMatchObject({ type: 'run-ended', result: 'failure' })
    expect(report.events.filter(e => e.type === 'output' || e.type === 'planned')).toEqual([])
  })

  it('cuts long texts, a tail at its start', () => {
    const r = recording()
    begin(r, planOf(['web1']))
    r.emit(
      endedWith('web1', {
        outcome: 'failed',
        failure: { stage: 'activating', message: 'm'.repeat(10_000), tail: `${'t\n'.repeat(10_000)}the end` },
      }),
    )
    const report = JSON.parse(jsonOf(finish(r, 'failure'))) as {
      servers: { ended: { failure: { message: string; tail: string } } }[]
    }
    const { message, tail } = report.servers[0]!.ended.failure
    expect(message.length).toBeLessThanOrEqual(4000)
    expect(tail.length).toBeLessThan(4100)
    expect(tail).toMatch(/the end$/)
  })

  it('is safe to print in a job', () => {
    for (const hostile of hostileLines) {
      const r = recording()
      begin(r, planOf([hostile]))
      step(r, hostile, 'activate', hostile, hostile)
      const json = jsonOf(finish(r, 'failure', { message: hostile }))
      expect(commandsIn(json)).toEqual([])
      expect(commandsIn(JSON.stringify(JSON.parse(json), null, 2))).toEqual([])
    }
  })
})
