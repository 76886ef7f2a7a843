/**
 * A deployment whose process is stopped (SIGSTOP: a machine that hangs, a laptop that sleeps) for two minutes. Its connections stay open,
 * its scripts go on; when its leases are over another deployment takes over. Then it wakes up.
 */

import { randomBytes } from 'node:crypto'
import { appendFileSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { describe, it } from 'vitest'
import { halfDone } from '../crash/after-recovery.ts'
import { type Colleague, colleague } from '../support/colleague.ts'
import { processesWith } from '../support/processes.ts'
import { watchRotation } from '../support/rotation-watch.ts'
import { balancerWith, type Site, startSite } from '../support/site.ts'
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts'
import { outcome } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const names = ['web1', 'web2']
const stoppedMs = 120_000

interface Case {
  readonly middle: string
  /** Of the manifest that the stopped one deploys with. */
  readonly keys?: (at: Site, lines: readonly TcpProxy[]) => Readonly<Record<string, unknown>>
  /** Bytes a second that his connections take; for all of them what they can. */
  readonly bytesPerSecond?: number
  /** Of his application. */
  readonly behaviour?: string
  /** Puts something more into his workspace. */
  readonly more?: (workspace: string) => void
  /** He is where he is to be stopped. */
  readonly reached: (at: Site, commit: string, log: string) => boolean | Promise<boolean>
  /** Seen once he is stopped: he was not through with it. */
  readonly within: (at: Site, commit: string) => boolean | Promise<boolean>
}

/** Hangs for the stopped one's release alone; what would follow is written when nobody ends it. */
const hangs = 'if [ "$(cat version)" = stopped ]; then touch "$HOME/reached"; sleep 110; touch "$HOME/late"; fi'
const isReached = (at: Site) => names.some(name => existsSync(join(at.server(name).sshd.home, 'reached')))
const size = 64 * 1024 * 1024
/** Bytes of his upload that are unpacked on each server, where it is under way. */
const unpacked = (at: Site, commit: string): number[] =>
  names.flatMap(name => {
    const releases = join(at.server(name).root, 'releases')
    return readdirSync(releases)
      .filter(entry => entry.startsWith(`.staging.${commit}`))
      .map(entry => statSync(join(releases, entry, 'blob'), { throwIfNoEntry: false })?.size ?? 0)
  })
/** In rotation as far as people have set it, and not for its health check. Read in this order: a removal between is not taken for that. */
const isDown = async (at: Site) =>
  (await at.haproxy.status(at.backendName, 'web1')).startsWith('DOWN') &&
  (await at.haproxy.asSet(at.backendName))['web1'] === 'ready'
const isOut = async (at: Site) => (await at.rotation('web1')) === 'drain'

const cases: readonly Case[] = [
  {
    middle: 'the rollout, with a server out, in its activate step',
    keys: () => ({ activate: `${hangs}; ./activate` }),
    reached: isReached,
    within: isOut,
  },
  {
    middle: 'the wait after a removal',
    keys: at => balancerWith(at, { wait_after_removing_servers: 30 }),
    reached: (_at, _commit, log) => log.includes('wait_after_removing_servers'),
    within: isOut,
  },
  {
    middle: 'bringing a server back that the balancer finds unhealthy',
    keys: at => balancerWith(at, { add_timeout: 60 }),
    behaviour: 'up-fails',
    reached: isDown,
    within: isDown,
  },
  {
    middle: 'an upload',
    // A line of ours, which is as slow as we are: it cannot be over before we look.
    bytesPerSecond: size / 16,
    keys: (at, lines) => ({
      servers: at.servers.map((s, i) => ({
        name: s.name,
        host: `127.0.0.1:${lines[i]?.port}`,
        roles: ['web', s.name],
        env: { PORT: String(s.appPort) },
      })),
    }),
    more: workspace => writeFileSync(join(workspace, 'app/blob'), randomBytes(size)),
    reached: (at, commit) => unpacked(at, commit).some(bytes => bytes > 0 && bytes < size / 2),
    within: (at, commit) => unpacked(at, commit).some(bytes => bytes < size),
  },
  {
    middle: 'a prepare step',
    keys: () => ({ prepare: hangs }),
    reached: isReached,
    within: isReached,
  },
]

const runs = async (at: Site, name: string): Promise<unknown> => {
  const answer = await fetch(`http://127.0.0.1:${at.server(name).appPort}/stats`)
  const { release, pid } = (await answer.json()) as { release: string; pid: number }
  return { release, pid }
}

/** All of a server that a deployment changes, what it runs, and where the balancer has it. The lock's own entries may be passed on. */
async function everything(at: Site): Promise<unknown> {
  const lock = /^\.deploy-action(\/lock|$| )/
  const servers = names.map(async name => ({
    name,
    current: at.current(name),
    files: at.footprint(name).filter(line => !lock.test(line)),
    journal: readFileSync(join(at.server(name).root, '.deploy-action/journal'), 'utf8'),
    history: readFileSync(join(at.server(name).root, '.deploy-action/history'), 'utf8'),
    runs: await runs(at, name),
    rotation: await at.rotation(name),
  }))
  return Promise.all(servers)
}

const started = (who: Colleague, at: Site): string[] => {
  const release = names.flatMap(name => at.releases(name)).find(id => id.includes(who.commit))
  return release === undefined ? [] : [release.replace(/^\.staging\./, '')]
}

describe('an owner that is stopped for two minutes and goes on after another has taken over', () => {
  it.concurrent.for(cases)(
    'changes nothing any more: stopped in $middle',
    { timeout: 600_000 },
    async (c, { expect, onTestFinished }) => {
      const at = await startSite({ servers: names })
      onTestFinished(() => at.stop())
      await at.seed()
      const lines: TcpProxy[] = []
      onTestFinished(async () => {
        await Promise.all(lines.map(line => line.stop()))
      })
      if (c.bytesPerSecond !== undefined)
        for (const { sshd } of at.servers) {
          const line = await startTcpProxy(sshd.port, c.bytesPerSecond)
          lines.push(line)
          const known = sshd.knownHosts.replaceAll(`:${sshd.port} `, `:${line.port} `)
          appendFileSync(join(at.workspace, '.github/known_hosts'), known)
        }
      at.manifest(c.keys?.(at, lines))
      const first = colleague(at, 1, { version: 'stopped', behaviour: c.behaviour ?? '' })
      c.more?.(first.workspace)
      at.manifest({ rollout: { lock_wait: 300 }, ...balancerWith(at, { add_timeout: 20 }) })
      const second = colleague(at, 2)

      const stopped = first.start()
      let over = false
      stopped.ended.finally(() => {
        over = true
      })
      onTestFinished(async () => {
        if (!over) stopped.kill('SIGKILL')
        await stopped.ended
      })
      await waitUntil(c.middle, () => c.reached(at, first.commit, stopped.stdout()), 120_000)
      stopped.kill('SIGSTOP')
      const since = performance.now()
      expect(await c.within(at, first.commit), `it is in the middle of ${c.middle}`).toBe(true)
      const [release = ''] = started(first, at)
      // What it said last may still be on its way to us.
      await sleep(1_000)
      for (let i = 0; i < 10; i++) await turn()
      const told = stopped.stdout().length

      const taken = await second.start().ended
      expect([taken.code, taken.post?.code], taken.log).toEqual([0, 0])
      expect(outcome(taken)).toEqual({ succeeded: names })
      expect(taken.log).toContain('waiting for the lock')
      expect(taken.log).toMatch(/the lock of a deployment that stopped was taken over \(by colleague-1, .*runs\/5001\)/)
      expect(performance.now() - since).toBeGreaterThan(50_000) // the lease of a minute, renewed at most ten seconds before
      // what the stopped one had started is gone: scripts, and an application of its release
      expect(processesWith('DEPLOY_RELEASE', release)).toEqual([])
      expect(stopped.stdout().length).toBe(told)
      const before = await everything(at)
      const rotation = watchRotation(at)

      await sleep(Math.max(0, stoppedMs - (performance.now() - since)))
      expect(await everything(at)).toEqual(before)
      stopped.kill('SIGCONT')
      const result = await stopped.ended
      await sleep(2_000) // what it might have sent last
      expect(await everything(at), result.log).toEqual(before)
      expect((await rotation.stop()).changes.length, result.log).toBe(1)
      expect(result.code).toBe(1)
      expect(result.outputs['result']).toBe('failure')
      expect(result.log).toMatch(/the lock on web\d is lost/)
      expect(result.post?.log).not.toMatch(/ended undecided here/)
      for (const name of names) {
        expect(at.current(name)).toBe(taken.outputs['release'])
        expect(existsSync(join(at.server(name).sshd.home, 'late'))).toBe(false)
        expect(halfDone(at.server(name))).toEqual([])
      }
      expect(at.heldLocks()).toEqual([])
    },
  )
})
