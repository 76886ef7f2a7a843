/** Shards of one run that do not agree, or that find less than they were planned for, through the built bundle. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { type ManyServers, startManyServers } from '../support/many-servers.ts'
import type { ActionResult } from '../support/runner.ts'
import { listed, useSites } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const site = useSites()
const open: ManyServers[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map(many => many.stop()))
})
const many = async (count: number) => {
  const started = await startManyServers(count)
  open.push(started)
  return started
}
const limit = { timeout: 400_000 }
const tail = (result: ActionResult) => result.log.slice(-3000)
const matrixOf = (result: ActionResult) =>
  (JSON.parse(result.outputs['matrix'] ?? '') as { readonly shard: readonly string[] }).shard

describe('shards of one run that each build for themselves', () => {
  it('do not deploy two releases at once: the second build is kept out, and says why', limit, async () => {
    const at = await site({ servers: 4 })
    const go = join(at.temp, 'go')
    const wait = `touch ${go}.$DEPLOY_SERVER; while [ ! -e ${go} ]; do sleep 0.1; done`
    at.manifest({
      prepare: wait,
      // Waiting for the others to end would put the second release beside the first.
      rollout: { strategy: 'parallel', max_parallelism: 4, max_failures: '50%', lock_wait: '60s' },
    })
    at.change({ version: '2' })
    const before = at.current('web2')
    const first = at.start({ shard: '1/2' })
    await waitUntil('the first one has the lock, and its release is uploaded', () =>
      ['web1', 'web3'].every(name => existsSync(`${go}.${name}`)),
    )
    expect(at.heldLocks()).not.toEqual([])
    writeFileSync(join(at.workspace, 'app/built-at'), 'a moment later')
    const second = await at.deploy({ shard: '2/2' })
    expect(second.code).toBe(1)
    expect(second.log).toMatch(/another shard of this run deploys another build: it has \S+, this one has \S+/)
    expect(second.log).toContain('build once')
    expect(second.log).not.toContain('another deployment holds the lock')
    writeFileSync(go, '')
    const result = await first.ended
    expect(result.outputs['result'], tail(result)).toBe('success')
    expect([at.current('web2'), at.current('web4')]).toEqual([before, before])
    expect(at.heldLocks()).toEqual([])
  })
})

describe('a server outside of the selection that is out', () => {
  it('is taken off what the shards may have out, in the plan and in the shards', limit, async () => {
    const at = await many(7)
    const keys = {
      activate: '[ ! -e "$TEMP/bad.$DEPLOY_SERVER" ]',
      rollout: { strategy: 'rolling', batch: ['100%'], max_parallelism: 4, max_failures: 3, min_in_service: 4 },
    }
    at.manifest(keys)
    writeFileSync(join(at.temp, 'bad.web007'), '')
    await at.run({ servers: 'web007' })
    expect(await at.out()).toEqual(['web007'])
    const servers = '!web007'
    const plan = await at.run({ command: 'plan', servers })
    expect(matrixOf(plan), tail(plan)).toEqual(['1/2', '2/2'])
    expect(plan.log).toMatch(/web007, which is not selected, is not in service, so 2 may be out/)
    // As a plan made before it went out would have had it: the last one has no part, and the others go on.
    const results = await Promise.all(['1/3', '2/3', '3/3'].map(shard => at.run({ servers, shard })))
    expect(
      results.map(r => r.outputs['result']),
      results.map(tail).join(),
    ).toEqual(['success', 'success', 'failure'])
    expect(results[2]?.log).toMatch(
      /none of the servers of this shard may be out while web007 is \w+; one run without the input shard could go on/,
    )
    const again = await Promise.all(matrixOf(plan).map(shard => at.run({ servers, shard })))
    expect(again.map(r => r.outputs['result'])).toEqual(['success', 'success'])
    expect([await at.out(), at.heldLocks()]).toEqual([['web007'], []])
  })
})

describe('a shard', () => {
  const rollout = { strategy: 'rolling', batch: ['100%'], max_parallelism: 4, max_failures: 2, min_in_service: 2 }

  it('none of whose servers can be reached is a success with nothing done where such are skipped', limit, async () => {
    const at = await many(4)
    at.manifest({ activate: 'true', rollout: { ...rollout, unreachable: 'skip' } })
    const path = join(at.temp, 'workspace/deploy.yml')
    const written = parse(readFileSync(path, 'utf8')) as { servers: { host: string }[] }
    const servers = written.servers.map((s, i) => (i % 2 === 1 ? { ...s, host: '127.0.0.1:9' } : s))
    writeFileSync(path, stringify({ ...written, servers }, { lineWidth: 0 }))
    const both = ['1/2', '2/2'].map(shard => at.run({ shard }))
    const [first, second] = (await Promise.all(both)) as [ActionResult, ActionResult]
    expect(first.outputs['result'], tail(first)).toBe('success')
    expect(second.outputs['result'], tail(second)).toBe('success')
    expect(listed(second, 'unreachable')).toEqual(['web002', 'web004'])
    expect(second.stdout).toMatch(/::warning[^\n]*Nothing to do in this shard/)
    const plan = await at.run({ command: 'plan', shard: '2/2' })
    expect(plan.code, tail(plan)).toBe(0)
    // A whole run whose servers are all down has failed, also as the one shard there is.
    const whole = await at.run({ servers: 'web002,web004', shard: '1/1' })
    expect(whole.outputs['result']).toBe('failure')
    expect(at.heldLocks()).toEqual([])
  })

  it('makes no deployment record, 1/1 neither, and says who does', limit, async () => {
    const at = await many(2)
    at.manifest({ activate: 'true', rollout: { ...rollout, min_in_service: 1 } })
    for (const shard of ['1/1', '2/2']) {
      const result = await at.run({ shard, 'github-deployment': 'true', 'github-token': 'a-token' })
      expect(result.outputs['deployment-id'] ?? '', tail(result)).toBe('')
      expect(result.log).toContain('a shard, also 1/1, makes no deployment record')
    }
    expect((await at.run({ shard: '1/1' })).log).not.toContain('no deployment record')
  })

  it('is spoken of in a plan where one was asked for, or where there may be several', limit, async () => {
    const at = await many(2)
    at.manifest({ activate: 'true', rollout: { ...rollout, max_failures: 1, min_in_service: 1 } })
    const plan = await at.run({ command: 'plan' })
    expect([matrixOf(plan), plan.log.includes('Fan-out')]).toEqual([['1/1'], false])
    const asked = await at.run({ command: 'plan', shard: '8' })
    expect([matrixOf(asked), asked.log.includes('Fan-out: one shard')]).toEqual([['1/1'], true])
  })
})
