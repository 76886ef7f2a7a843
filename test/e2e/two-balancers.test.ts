import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { parseJournal } from '../../src/release/journal.ts'
import type { HaproxyOptions } from '../support/haproxy.ts'
import { startLoads } from '../support/load.ts'
import { type SecondBalancer, secondBalancer } from '../support/second-balancer.ts'
import type { Site } from '../support/site.ts'
import { listed, outcome, useSites } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const site = useSites()
const open: SecondBalancer[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map(s => s.haproxy.stop()))
})

interface Two {
  readonly at: Site
  readonly inner: SecondBalancer
  /** While this file is there, an activation waits. */
  readonly hold: string
}

async function two(options: Partial<HaproxyOptions> = {}): Promise<Two> {
  const at = await site({ servers: 2 })
  const inner = await secondBalancer(at, options)
  open.push(inner)
  await waitUntil('both are up at the second', async () =>
    (await Promise.all(at.servers.map(s => inner.haproxy.status('other', s.name)))).every(s => s === 'UP'),
  )
  at.change({ version: '2' })
  return { at, inner, hold: join(at.temp, 'hold') }
}
const activate = ({ hold }: Two) => `while [ -e ${hold} ]; do sleep 0.05; done; ./activate`
const inFlight = async (at: Site, server: string) =>
  ((await (await fetch(`http://127.0.0.1:${at.server(server).appPort}/stats`)).json()) as { inFlight: number }).inFlight
const receiptsOn = (at: Site, server: string) =>
  parseJournal(readFileSync(join(at.server(server).root, '.deploy-action', 'journal'), 'utf8')).entries.flatMap(e =>
    e.type === 'removing' ? e.receipts : [],
  )
/** What each balancer was told and said, in the order of the log. */
const story = (log: string) =>
  [...log.matchAll(/balancer (\w+): (removed|drained|restored|serving|kept-out)/g)].map(m => `${m[2]} ${m[1]}`)

describe('a server behind two balancers', () => {
  it('is removed in the order listed, restored in reverse, with a receipt for each; the largest wait counts once; no request fails at either', {
    timeout: 300_000,
  }, async () => {
    const { at, inner } = await two()
    await inner.haproxy.command('set server other/web1 weight 7')
    at.manifest(
      inner.both(
        { wait_after_removing_servers: 1, wait_after_adding_servers: 1 },
        { wait_after_removing_servers: 2, wait_after_adding_servers: '500ms' },
      ),
    )
    const loads = await Promise.all([startLoads(at.url), startLoads(inner.url)])
    await Promise.all(loads.map(l => l.more(100)))
    const result = await at.deploy()
    await Promise.all(loads.map(l => l.more(100)))
    const seen = await Promise.all(loads.map(l => l.stop()))
    expect(result.code, result.log).toBe(0)
    for (const { short, slow } of seen) expect([short.failed, slow.failed, short.problems]).toEqual([0, 0, {}])
    const told = story(result.log)
    for (const from of [0, told.length / 2]) {
      expect(told.slice(from, from + 2)).toEqual(['removed edge', 'removed inner'])
      expect(told.slice(from + 2, from + 4).toSorted()).toEqual(['drained edge', 'drained inner'])
      expect(told.slice(from + 4, from + 6)).toEqual(['restored inner', 'restored edge'])
    }
    expect([...result.log.matchAll(/waits (.*?): wait_after_(removing|adding)/g)].map(m => m[1])).toEqual([
      '2 s',
      '1 s',
      '2 s',
      '1 s',
    ])
    expect(
      JSON.parse(result.outputs['plan'] ?? readFileSync(result.outputs['report-path'] ?? '', 'utf8')).plan.addedSeconds,
    ).toBe(6)
    const [edge, other] = receiptsOn(at, 'web1')
    expect([edge?.balancer, other?.balancer]).toEqual(['edge', 'inner'])
    expect(edge?.data['members']).toMatchObject([{ backend: 'app', weight: 1 }])
    expect(other?.data['members']).toMatchObject([{ backend: 'other', weight: 7 }])
    expect((await inner.haproxy.command('get weight other/web1')).trim()).toBe('7 (initial 1)')
  })

  it('is put back at the first when the second refuses its removal; the summary says one thing', {
    timeout: 240_000,
  }, async () => {
    const { at, inner } = await two({ level: 'operator' })
    const before = at.current('web1')
    at.manifest(inner.both())
    const result = await at.deploy({ servers: 'web1' })
    expect(result.code).toBe(1)
    expect(outcome(result)).toEqual({ failed: ['web1'] })
    expect([listed(result, 'left-out'), listed(result, 'kept-out')]).toEqual([[], []])
    expect(story(result.log).slice(0, 1)).toEqual(['removed edge'])
    expect([await at.rotation('web1'), (await inner.asSet())['web1']]).toEqual(['serving', 'ready'])
    expect(at.current('web1')).toBe(before)
    expect(result.summary).toMatch(/web1.*failed/)
    expect(result.summary).not.toMatch(/left out/i)
  })

  it('goes back to the first when the second is killed while it drains; the second is said to be unknown', {
    timeout: 240_000,
  }, async () => {
    const { at, inner } = await two()
    const before = at.current('web1')
    at.manifest(inner.both({ drain_timeout: 100, add_timeout: 60 }, { drain_timeout: 6, add_timeout: 3 }))
    // On each server two from each balancer, in turn: it is drained at neither before the second is gone.
    const until = join(at.temp, 'answered')
    const ask = async (url: string) => (await fetch(`${url}held?until=${until}`)).status
    const direct = Promise.all(Array.from({ length: 4 }, () => ask(at.url)))
    const cutOff = Promise.allSettled(Array.from({ length: 4 }, () => ask(inner.url)))
    await waitUntil('all are in flight', async () => (await inFlight(at, 'web1')) + (await inFlight(at, 'web2')) === 8)
    const running = at.start({ servers: 'web1' })
    await waitUntil('it is removed at both', async () => (await inner.asSet())['web1'] === 'drain', 120_000)
    await inner.haproxy.stop()
    writeFileSync(until, '')
    const result = await running.ended
    expect(await direct).toEqual([200, 200, 200, 200])
    expect((await cutOff).map(ask => ask.status)).toEqual(Array(4).fill('rejected'))
    expect(result.code).toBe(1)
    expect(outcome(result)).toEqual({ failed: ['web1'] })
    expect(await at.rotation('web1')).toBe('serving')
    expect(at.current('web1')).toBe(before)
    expect(result.summary).toMatch(/inner/)
    expect(result.log).toMatch(/inner: .*web1 cannot be seen drained/)
  })

  it('comes back everywhere when the second is away while it is out, and there again before add_timeout', {
    timeout: 240_000,
  }, async () => {
    const here = await two()
    const { at, inner, hold } = here
    at.manifest({ ...inner.both({}, { add_timeout: 60 }), activate: activate(here) })
    writeFileSync(hold, '')
    const running = at.start({ servers: 'web1' })
    await waitUntil('it is activated', () => running.stdout().includes('→ activating'), 120_000)
    renameSync(inner.haproxy.socket, `${inner.haproxy.socket}.gone`)
    rmSync(hold)
    await waitUntil('it is back at the first', async () => (await at.rotation('web1')) === 'serving', 120_000)
    renameSync(`${inner.haproxy.socket}.gone`, inner.haproxy.socket)
    const result = await running.ended
    expect(result.code, result.log).toBe(0)
    expect(outcome(result)).toEqual({ succeeded: ['web1'] })
    expect((await inner.asSet())['web1']).toBe('ready')
  })

  it.each(['out', 'coming back'])(
    'serves the new release at the first when the second is killed while it is %s; never a rollback for that',
    { timeout: 240_000 },
    async when => {
      const here = await two()
      const { at, inner, hold } = here
      at.manifest({
        ...inner.both({ add_timeout: 60 }, { add_timeout: 8 }),
        activate: activate(here),
        rollout: { on_failure: 'rollback' },
      })
      writeFileSync(hold, '')
      const running = at.start({ servers: 'web1' })
      await waitUntil('it is activated', () => running.stdout().includes('→ activating'), 120_000)
      if (when === 'out') await inner.haproxy.stop()
      else {
        // It is not found well again, so it can be killed meanwhile.
        await inner.haproxy.command('disable health other/web1')
        await inner.haproxy.command('set server other/web1 health down')
      }
      rmSync(hold)
      if (when === 'coming back') {
        await waitUntil('it is restored there', () => running.stdout().includes('balancer inner: restored'), 120_000)
        await inner.haproxy.stop()
      }
      const result = await running.ended
      expect(result.code).toBe(1)
      expect(outcome(result)).toEqual({ failed: ['web1'] })
      expect(await at.rotation('web1')).toBe('serving')
      expect(result.log).not.toContain('rolling back')
      expect(at.releases('web1')).toContain(at.current('web1'))
      const version = readFileSync(join(at.server('web1').root, 'current', 'version'), 'utf8').trim()
      expect(version).toBe('2')
      expect(result.summary).toMatch(/not known|unknown/i)
    },
  )

  it('is removed once more where a reload of the second forgot the removal, before anything on it is changed', {
    timeout: 240_000,
  }, async () => {
    const { at, inner } = await two()
    // Long enough for a reload of HAProxy and a look at it, on the busiest machine.
    at.manifest(inner.both({}, { wait_after_removing_servers: 15 }))
    const load = await startLoads(inner.url)
    const running = at.start({ servers: 'web1' })
    await waitUntil('it is drained', () => running.stdout().includes('wait_after_removing_servers'), 120_000)
    await inner.haproxy.reload()
    await waitUntil('it serves again', async () => (await inner.asSet())['web1'] === 'ready')
    const result = await running.ended
    const { short, slow } = await load.stop()
    expect(result.code, result.log).toBe(0)
    expect(story(result.log).filter(s => s === 'removed inner')).toHaveLength(2)
    // A reload of HAProxy itself may reset a connection; what reaches a server is answered.
    expect([...Object.keys(short.problems), ...Object.keys(slow.problems)].filter(p => /50\d/.test(p))).toEqual([])
    expect([await at.rotation('web1'), (await inner.asSet())['web1']]).toEqual(['serving', 'ready'])
  })

  it('stays out where a person took it out meanwhile, and comes back at the other', { timeout: 240_000 }, async () => {
    const here = await two()
    const { at, inner, hold } = here
    at.manifest({ ...inner.both(), activate: activate(here) })
    writeFileSync(hold, '')
    const running = at.start({ servers: 'web1' })
    await waitUntil('it is activated', () => running.stdout().includes('→ activating'), 120_000)
    await inner.haproxy.command('set server other/web1 state maint')
    rmSync(hold)
    const result = await running.ended
    expect(result.code, result.log).toBe(0)
    expect(outcome(result)).toEqual({ succeeded: ['web1'] })
    expect([listed(result, 'kept-out'), listed(result, 'left-out')]).toEqual([['web1'], []])
    expect([await at.rotation('web1'), (await inner.asSet())['web1']]).toEqual(['serving', 'maint'])
    expect(existsSync(hold)).toBe(false)
  })
})
