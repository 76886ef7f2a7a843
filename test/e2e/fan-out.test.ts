/** Fan-out through the built bundle: the shards of one run as processes of their own, at once, on many servers. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { divided, shardServers } from '../../src/plan/shards.ts'
import { type ManyServers, startManyServers } from '../support/many-servers.ts'
import type { ActionResult } from '../support/runner.ts'
import { startPost } from '../support/runner.ts'
import { listed } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const open: ManyServers[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map(many => many.stop()))
})
const many = async (count: number, front?: number) => {
  const started = await startManyServers(count, front)
  open.push(started)
  return started
}

const lists = ['succeeded', 'skipped', 'failed', 'rolled-back', 'pending', 'unreachable'] as const

/** A small generator (mulberry32), so that a failure is made again by its seed. */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** The largest sum at any moment of what began and has not ended. */
const most = (changes: readonly number[]): number => {
  let [now, top] = [0, 0]
  for (const change of changes) {
    now += change
    top = Math.max(top, now)
  }
  return top
}

const tail = (result: ActionResult) => result.log.slice(-3000)

describe('eight shards of 200 servers at once', () => {
  it('keep every limit over all of them, whoever fails, and keep others out', { timeout: 900_000 }, async () => {
    const seed = Number(process.env['FAN_OUT_SEED'] ?? 22)
    console.info(`FAN_OUT_SEED=${seed}`)
    const random = randomOf(seed)
    // The first 40 stand behind HAProxy, and 24 of them have to serve.
    const at = await many(200, 40)
    const [parallelism, failures, mayBeOut, of] = [40, 16, 16, 8]
    at.manifest({
      // Under way until it is let go on, and then good or bad.
      activate: {
        name: 'activate',
        run: 'echo "+ $DEPLOY_SERVER" >>"$LOG"; while [ -e "$TEMP/hold" ]; do sleep 0.2; done; echo "- $DEPLOY_SERVER" >>"$LOG"; [ ! -e "$TEMP/bad.$DEPLOY_SERVER" ]',
      },
      finalize: { run: 'echo "finalize $DEPLOY_SERVER" >>"$LOG"', servers: 'web00*' },
      cleanup: { run: 'echo "cleanup $DEPLOY_SERVER" >>"$LOG"', once: true, servers: 'web01*' },
      rollout: {
        strategy: 'rolling',
        batch: ['100%'],
        max_parallelism: parallelism,
        max_failures: '8%',
        min_in_service: '60%',
      },
    })
    const bad = at.names.filter(() => random() < 0.06)
    for (const name of bad) writeFileSync(join(at.temp, `bad.${name}`), '')
    writeFileSync(join(at.temp, 'hold'), '')
    const shards = Array.from({ length: of }, (_, i) => ({ index: i + 1, of }))
    const running = shards.map(({ index }) => at.start({ shard: `${index}/${of}` }))
    const begun = () => new Set(at.log().map(line => at.names.indexOf(line.slice(2)) % of))
    let early: ActionResult | null = null
    for (const { ended } of running)
      ended.then(
        result => {
          early ??= result
        },
        () => undefined,
      )
    await waitUntil(
      () => `all shards have out what they may: ${at.log().join(', ')}`,
      () => early !== null || (begun().size === of && at.log().length === mayBeOut),
      600_000,
    )
    expect(early === null ? '' : tail(early), 'a shard ended before').toBe('')
    // A plain run of other servers, another selection, another attempt, and a shard that is there already.
    const rivals = await Promise.all([
      at.run({ servers: 'web100' }, { env: { GITHUB_RUN_ID: '4712' } }),
      at.run({ servers: 'web09*', shard: '1/8' }),
      at.run({ servers: 'web09*', shard: '1/8' }, { env: { GITHUB_RUN_ATTEMPT: '2' } }),
      at.run({ shard: '3/8' }),
    ])
    const troubles = running.flatMap(r => r.stdout().split('\n')).filter(line => line.includes('the lock on'))
    expect(troubles, 'who has lost a lock meanwhile').toEqual([])
    expect(at.log().slice(mayBeOut), 'nobody leaves while they wait').toEqual([])
    rmSync(join(at.temp, 'hold'))
    const results = await Promise.all(running.map(r => r.ended))
    for (const [i, rival] of rivals.entries()) {
      expect(rival.code, tail(rival)).toBe(1)
      expect(rival.log).toMatch(i === 3 ? /is this shard of this run already/ : /another deployment holds the lock/)
      expect(listed(rival, 'succeeded')).toEqual([])
    }

    // Each server is in exactly one list of exactly one shard.
    const of_ = (result: ActionResult) => lists.flatMap(list => listed(result, list))
    for (const [i, result] of results.entries()) {
      const own = shardServers(at.names, shards[i] ?? { index: 1, of: 1 })
      expect(of_(result).toSorted(), tail(result)).toEqual(own)
      expect(result.log).toContain(`shard ${i + 1} of 8`)
    }
    const failed = results.map(result => listed(result, 'failed'))
    // Who waits to leave while bad ones use up what its shard may have out is refused, and stays in rotation.
    const refused = results.flatMap((r, i) =>
      (failed[i] ?? []).filter(name => {
        const out = new RegExp(`\\[${name}\\]   removing: edge: this shard may have 2 .*; out are (.*) \\(`).exec(
          r.log,
        )?.[1]
        return out?.split(', ').every(other => bad.includes(other))
      }),
    )
    const why = results.flatMap((r, i) =>
      (failed[i] ?? [])
        .filter(name => !bad.includes(name) && !refused.includes(name))
        .flatMap(name => r.log.split('\n').filter(l => l.includes(name))),
    )
    expect(why, 'who failed without a reason').toEqual([])
    expect(results.flatMap(r => listed(r, 'succeeded')).some(name => bad.includes(name))).toBe(false)

    // max_failures: no shard starts one more than its part allows, so what fails beyond it was under way.
    for (const [i, names] of failed.entries()) {
      const shard = shards[i] ?? { index: 1, of: 1 }
      const limit = divided(parallelism, shard)
      expect(names.length).toBeLessThanOrEqual(divided(failures, shard) + limit - 1)
      if (names.length >= divided(failures, shard)) expect(results[i]?.code).toBe(1)
      else expect(listed(results[i] as ActionResult, 'pending')).toEqual([])
    }
    // max_parallelism: steps at once, over all shards.
    const steps = at.log().filter(line => /^[+-] /.test(line))
    expect(most(steps.map(line => (line.startsWith('+') ? 1 : -1)))).toBeLessThanOrEqual(parallelism)
    // min_in_service: out at once, over all shards, those that were left out counted.
    const away = new Set<string>()
    const counts = at.orders.map(({ server, out }) => {
      if (out) away.add(server)
      else away.delete(server)
      return away.size
    })
    expect(Math.max(...counts), 'all that may be out, and no more').toBe(mayBeOut)
    expect((await at.out()).toSorted()).toEqual(
      failed
        .flat()
        .filter(name => at.behind.includes(name) && !refused.includes(name))
        .toSorted(),
    )
    // Once each, by whichever shard has the server; finalize where all of a shard's servers succeeded.
    const lines = (word: string) => at.log().filter(line => line.startsWith(`${word} `))
    expect(lines('cleanup')).toEqual(['cleanup web010'])
    const good = results.flatMap((r, i) => (r.outputs['result'] === 'success' ? [i] : []))
    const finalized = at.names.slice(0, 9).filter((_, k) => good.includes(k % of))
    expect(lines('finalize').toSorted()).toEqual(finalized.map(name => `finalize ${name}`))
    expect(at.heldLocks()).toEqual([])
  })
})

describe('a shard', () => {
  const small = {
    activate: 'echo "+ $DEPLOY_SERVER" >>"$LOG"; while [ -e "$TEMP/hold.$DEPLOY_SERVER" ]; do sleep 0.1; done',
    rollout: { strategy: 'rolling', batch: ['100%'], max_parallelism: 4, max_failures: 2, min_in_service: 2 },
  }

  it('that is killed is brought to its end by its post, beside the others', { timeout: 400_000 }, async () => {
    const at = await many(6)
    at.manifest(small)
    writeFileSync(join(at.temp, 'hold.web002'), '')
    writeFileSync(join(at.temp, 'hold.web005'), '')
    const options = at.options({ shard: '2/2' }, { post: false })
    const first = at.start({ shard: '1/2' })
    const second = at.start({ shard: '2/2' }, { post: false })
    await waitUntil('both are at it', () => ['+ web002', '+ web005'].every(l => at.log().includes(l)), 90_000)
    // Whoever asks sees who holds the lock.
    expect((await at.run({ command: 'status' })).log).toContain('https://github.com/octo/shop/actions/runs/4711')
    second.kill('SIGKILL')
    const killed = await second.ended
    expect(killed.code).toBeNull()
    writeFileSync(join(at.temp, 'log'), '')
    rmSync(join(at.temp, 'hold.web002'))
    const post = await startPost(options, killed).ended
    expect(post.code, tail(post)).toBe(0)
    // The other one is at it still, and nobody else may come in.
    expect(at.heldLocks()).toContain('web001')
    expect((await at.run({}, { env: { GITHUB_RUN_ID: '9' } })).code).toBe(1)
    rmSync(join(at.temp, 'hold.web005'))
    const result = await first.ended
    expect(result.outputs['result'], tail(result)).toBe('success')
    expect([at.heldLocks(), await at.out()]).toEqual([[], []])
    // Its servers are for a run of its own, and the next one, whoever it is, is let in.
    const again = await at.run({}, { env: { GITHUB_RUN_ID: '9' } })
    expect(again.outputs['result'], tail(again)).toBe('success')
  })

  it('never migrates: a job before does, and then the plan has shards for the rest', { timeout: 600_000 }, async () => {
    const at = await many(4)
    at.manifest({ ...small, migrate: { run: 'echo "migrate $DEPLOY_SERVER" >>"$LOG"' } })
    const refused = await at.run({ shard: '1/2' })
    expect(refused.code).toBe(1)
    expect(refused.log).toContain('a migration has to run')
    expect(refused.log).toContain('servers: web001')
    expect([at.log(), at.orders, at.heldLocks()]).toEqual([[], [], []])
    expect(listed(refused, 'pending').length + listed(refused, 'failed').length, tail(refused)).toBe(2)

    const before = await at.run({ servers: 'web001' })
    expect(before.outputs['result'], tail(before)).toBe('success')
    expect(at.log()).toEqual(['migrate web001', '+ web001'])
    // Until the release is everywhere it is serial, so there is one shard; who says that it was migrated has two.
    const gated = await at.run({ command: 'plan', shard: '2' })
    expect(JSON.parse(gated.outputs['matrix'] ?? '')).toEqual({ shard: ['1/1'] })
    const plan = await at.run({ command: 'plan', shard: '2', migrate: 'false' })
    const { shard } = JSON.parse(plan.outputs['matrix'] ?? '') as { readonly shard: readonly string[] }
    expect(shard, tail(plan)).toEqual(['1/2', '2/2'])
    const results = await Promise.all(shard.map(name => at.run({ shard: name, migrate: 'false' })))
    for (const result of results) expect(result.outputs['result'], tail(result)).toBe('success')
    expect(at.log().filter(line => line.startsWith('migrate'))).toEqual(['migrate web001'])
    expect([at.heldLocks(), await at.out()]).toEqual([[], []])
  })

  it('of more shards than the smallest limit allows is refused with the numbers, and changes nothing', {
    timeout: 400_000,
  }, async () => {
    const at = await many(4)
    at.manifest(small)
    const refused = await at.run({ shard: '3/3' })
    expect(refused.code).toBe(1)
    expect(refused.log).toMatch(/there may be 2 shards at most, and this is one of 3: max_failures is 2/)
    expect(refused.log).toContain('rollout.max_failures')
    const serial = await at.run({ shard: '1/2', strategy: 'serial' })
    expect(serial.log).toMatch(/one shard at most, and this is one of 2: the strategy is serial/)
    const many_ = await at.run({ shard: '1/9' })
    expect(many_.log).toContain('4 servers are selected')
    const nowhere = await at.run({ shard: '1/2' }, { env: { GITHUB_RUN_ID: '' } })
    expect(nowhere.log).toContain('GITHUB_RUN_ID')
    const back = await at.run({ shard: '1/2', command: 'rollback' })
    expect(back.code).toBe(1)
    for (const command of ['recover', 'status']) {
      const result = await at.run({ command, shard: '1/2' })
      expect(result.log).toMatch(/input shard is for deploy, rollback, plan/)
    }
    expect([at.log(), at.orders, at.heldLocks()]).toEqual([[], [], []])
    const own = await at.run({ command: 'plan', shard: '2/2' })
    expect(own.code, tail(own)).toBe(0)
    expect(own.log).toMatch(/This is shard 2 of 2: 2 of 4 servers/)
    expect(JSON.parse(own.outputs['plan'] ?? '').servers.map((s: { name: string }) => s.name)).toEqual([
      'web002',
      'web004',
    ])
    // 1/1 is a whole run, whatever the limits.
    const whole = await at.run({ shard: '1/1', strategy: 'serial' }, { env: { GITHUB_RUN_ID: '' } })
    expect([whole.outputs['result'], listed(whole, 'succeeded')], tail(whole)).toEqual(['success', at.names])
    expect(at.heldLocks()).toEqual([])
  })
})
