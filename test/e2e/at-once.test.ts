import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { journalState, parseJournal } from '../../src/release/journal.ts'
import { halfDone } from '../crash/after-recovery.ts'
import { type Colleague, colleague } from '../support/colleague.ts'
import { startLoad } from '../support/load.ts'
import { watchRotation } from '../support/rotation-watch.ts'
import type { ActionResult } from '../support/runner.ts'
import { watchService } from '../support/service-watch.ts'
import { balancerWith, type Site } from '../support/site.ts'
import { outcome, useSites } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const site = useSites()
const names = (n: number) => Array.from({ length: n }, (_, i) => `web${i + 1}`)
const numbers = (n: number) => Array.from({ length: n }, (_, i) => i + 1)

/**
 * Every step enters a server alone, or leaves word that another was there, and a line in one file of all servers: what really ran,
 * in which order.
 */
function manifest(at: Site, lockWait: number): void {
  const log = join(at.temp, 'steps')
  writeFileSync(log, '')
  const step = (work: string) =>
    [
      'export LC_ALL=C',
      `mkdir "$HOME/writer" || echo "$DEPLOY_SERVER $DEPLOY_RELEASE met another" >>${log}`,
      `echo "$DEPLOY_SERVER $DEPLOY_RELEASE begins" >>${log}`,
      `sleep 0.1; ${work}`,
      `echo "$DEPLOY_SERVER $DEPLOY_RELEASE ends" >>${log}`,
      'rmdir "$HOME/writer"',
    ].join('\n')
  at.manifest({
    rollout: { lock_wait: lockWait },
    prepare: step('echo prepared >.prepared'),
    activate: step('./activate'),
    finalize: step(':'),
    cleanup: step(':'),
    ...balancerWith(at, { min_in_service: at.servers.length - 1 }),
  })
}

const neighbours = (list: readonly string[]): string[] => list.filter((x, i) => x !== list[i - 1])

/** Releases in the order in which they were at work, over all servers. Fails when two met, or one came again after another. */
function turns(at: Site): string[] {
  const lines = readFileSync(join(at.temp, 'steps'), 'utf8').trimEnd().split('\n')
  expect(lines.filter(line => line.endsWith('met another'))).toEqual([])
  const order = neighbours(lines.map(line => line.split(' ')[1] ?? ''))
  expect(order, 'each release was at work once, with no other between').toEqual([...new Set(order)])
  for (const { name } of at.servers) {
    const own = lines.filter(line => line.startsWith(`${name} `)).map(line => line.split(' '))
    expect(own.filter(([, , what], i) => what !== (i % 2 === 0 ? 'begins' : 'ends'))).toEqual([])
    expect(own.filter(([, release], i) => i % 2 === 1 && release !== own[i - 1]?.[1])).toEqual([])
  }
  return order
}

/** Releases in the order in which a server's history has them, without the first deployment. */
function history(at: Site, name: string): string[] {
  const text = readFileSync(join(at.server(name).root, '.deploy-action/history'), 'utf8').trimEnd()
  const lines = text.split('\n').map(line => JSON.parse(line) as { release: string; result: string })
  expect(lines.map(l => l.result)).toEqual(lines.map(() => 'success'))
  return lines.map(l => l.release).slice(1)
}

/** Nothing is held, half done or undecided, and each server runs what `current` says. */
async function nothingLeft(at: Site): Promise<void> {
  expect(at.heldLocks()).toEqual([])
  for (const server of at.servers) {
    expect(halfDone(server)).toEqual([])
    const journal = parseJournal(readFileSync(join(server.root, '.deploy-action/journal'), 'utf8'))
    expect(journalState(journal.entries)).toMatchObject({ open: false, leftOut: [] })
    const answer = await fetch(`http://127.0.0.1:${server.appPort}/`)
    expect(answer.headers.get('x-release')).toBe(at.current(server.name))
    expect(await at.rotation(server.name)).toBe('serving')
  }
}

interface Ended {
  readonly who: Colleague
  readonly result: ActionResult
}

/** All start at once, under load: no request fails, and never is more than one server out. */
async function allAtOnce(
  at: Site,
  who: readonly Colleague[],
  servers: (i: number) => string,
): Promise<readonly Ended[]> {
  const load = await startLoad(at.url)
  await load.more(250)
  const [rotation, service] = [watchRotation(at), watchService(at)]
  const ended = await Promise.all(
    who.map(async (one, i) => ({ who: one, result: await one.start({ servers: servers(i) }).ended })),
  )
  const [out, seen] = [await rotation.stop(), await service.stop()]
  await load.more(250)
  const { failed, problems, served } = await load.stop()
  expect({ failed, problems }).toEqual({ failed: 0, problems: {} })
  expect(served).toBeGreaterThanOrEqual(500)
  expect(seen.looks).toBeGreaterThan(20)
  expect([out.mostOut, seen.fewest]).toEqual([1, at.servers.length - 1])
  return ended
}

/** What a server says of a holder is shown as text: no character of it is Markdown. */
const plain = (markdown: string) => markdown.replace(/&#(\d+);/g, (_, code) => String.fromCodePoint(Number(code)))
const released = (result: ActionResult): string => result.outputs['release'] ?? ''

describe('deployments of all servers that are started at once', () => {
  it.each([2, 5])('take turns, %i of them, when lock_wait is long enough', { timeout: 1_500_000 }, async n => {
    const at = await site({ servers: 4 })
    manifest(at, 1200)
    const ended = await allAtOnce(
      at,
      numbers(n).map(i => colleague(at, i)),
      () => 'all',
    )
    for (const { who, result } of ended) {
      expect([result.code, result.post?.code], result.log).toEqual([0, 0])
      expect(outcome(result)).toEqual({ succeeded: names(4) })
      expect(released(result)).toContain(who.commit)
    }
    const order = turns(at)
    expect([...order].sort()).toEqual(ended.map(e => released(e.result)).sort())
    for (const name of names(4)) {
      expect(history(at, name)).toEqual(order)
      expect(at.current(name)).toBe(order.at(-1))
    }
    await nothingLeft(at)
  })

  it.each([2, 5])(
    'exclude each other, %i of them, when nobody waits: who fails names the holder and its run',
    {
      timeout: 600_000,
    },
    async n => {
      const at = await site({ servers: 4 })
      manifest(at, 0)
      const ended = await allAtOnce(
        at,
        numbers(n).map(i => colleague(at, i)),
        () => 'all',
      )
      const won = ended.filter(e => e.result.code === 0)
      expect(won.length, ended.map(e => e.result.log).join('\n')).toBeGreaterThan(0)
      const order = turns(at)
      expect([...order].sort()).toEqual(won.map(e => released(e.result)).sort())
      for (const name of names(4)) expect(history(at, name)).toEqual(order)
      for (const { who, result } of ended.filter(e => e.result.code !== 0)) {
        expect([result.code, result.post?.code], result.log).toEqual([1, 0])
        expect(result.log).not.toContain('waiting for the lock')
        const holder = ended.find(e => e.who !== who && result.log.includes(`by ${e.who.actor}, since`))
        expect(result.log).toMatch(/web1: another deployment holds the lock/)
        expect(result.log).toContain(holder?.who.runUrl ?? 'a holder')
        expect(plain(result.summary)).toContain(holder?.who.runUrl ?? 'a holder')
        for (const name of names(4)) expect(at.releases(name).filter(id => id.includes(who.commit))).toEqual([])
      }
      await nothingLeft(at)
    },
  )
})

describe('deployments of disjoint servers that are started at once', () => {
  it.each([
    { what: 'two of two servers each', servers: ['web1,web2', 'web3,web4'] },
    { what: 'five of one server each', servers: names(5) },
  ])('never take two servers out together: $what', { timeout: 1_500_000 }, async ({ servers }) => {
    const all = servers.flatMap(list => list.split(','))
    const at = await site({ servers: all.length })
    manifest(at, 1200)
    const ended = await allAtOnce(
      at,
      servers.map((_, i) => colleague(at, i + 1)),
      i => servers[i] ?? '',
    )
    for (const [i, { result }] of ended.entries()) {
      expect([result.code, result.post?.code], result.log).toEqual([0, 0])
      expect(outcome(result)).toEqual({ succeeded: servers[i]?.split(',') })
      for (const name of servers[i]?.split(',') ?? []) {
        expect(at.current(name)).toBe(released(result))
        expect(history(at, name)).toEqual([released(result)])
      }
    }
    expect(turns(at).sort()).toEqual(ended.map(e => released(e.result)).sort())
    await nothingLeft(at)
  })
})

describe('a deployment that waits for the lock', () => {
  it('says every ten seconds who holds it, with a link to that run', { timeout: 600_000 }, async () => {
    const at = await site({ servers: 2 })
    const gate = join(at.temp, 'gate')
    at.manifest({
      rollout: { lock_wait: 500 },
      activate: `if grep -q 'colleague 1$' version; then touch ${gate}.reached; until [ -e ${gate} ]; do sleep 0.1; done; fi; ./activate`,
    })
    const [first, second] = [colleague(at, 1), colleague(at, 2)]
    const holder = first.start()
    await waitUntil('the first one is in its rollout', () => existsSync(`${gate}.reached`), 60_000)
    const waits = second.start({ servers: 'web2' })
    const lines = () =>
      waits
        .stdout()
        .split('\n')
        .filter(line => line.includes('waiting for the lock'))
    await waitUntil('four lines', () => lines().length >= 4, 240_000)
    writeFileSync(gate, '')
    expect((await holder.ended).code).toBe(0)
    const result = await waits.ended
    expect(result.code, result.log).toBe(0)
    for (const line of lines())
      expect(line).toMatch(
        /waiting for the lock \(\d+ s of 500 s\): web\d: another deployment holds the lock: by colleague-1, since .*\/actions\/runs\/5001;/,
      )
    const at10 = lines().map(line => Number(/\((\d+) s of/.exec(line)?.[1]))
    const between = at10.slice(1).map((seconds, i) => seconds - (at10[i] ?? 0))
    for (const seconds of between) expect(seconds).toBeGreaterThanOrEqual(9)
    // The first one comes when it was tried once, without ten seconds before it.
    expect(at10[0]).toBeLessThan(Math.max(...between))
  })
})
