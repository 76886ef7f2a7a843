import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { processesWith } from '../support/processes.ts'
import type { Site, SiteOptions } from '../support/site.ts'
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts'
import { listed, outcome, useSites } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const site = useSites()
const proxies: TcpProxy[] = []
afterEach(async () => {
  await Promise.all(proxies.splice(0).map(p => p.stop()))
})

/** A site whose web1 is reached over a line of its own; its first activation takes minutes and would then write a file. */
async function overALine(options: SiteOptions) {
  const at = await site(options)
  const web1 = at.server('web1')
  const line = await startTcpProxy(web1.sshd.port)
  proxies.push(line)
  appendFileSync(
    join(at.workspace, '.github/known_hosts'),
    web1.sshd.knownHosts.replaceAll(`:${web1.sshd.port} `, `:${line.port} `),
  )
  const { home } = web1.sshd
  const mark = `lost-${line.port}`
  const slow = [
    'if [ "$DEPLOY_SERVER" = web1 ] && mkdir "$HOME/once" 2>/dev/null; then',
    `  export MARK=${mark}; echo $$ >"$HOME/pid"; echo x >>"$HOME/times"; sleep 600; touch "$HOME/late"`,
    'fi',
    './activate',
  ].join('\n')
  const manifest = (keys: Readonly<Record<string, unknown>> = {}) =>
    at.manifest({
      servers: at.servers.map(s => ({
        name: s.name,
        host: `127.0.0.1:${s === web1 ? line.port : s.sshd.port}`,
        roles: ['web', s.name],
        env: { PORT: String(s.appPort) },
      })),
      activate: { name: 'restart', run: slow, retry: { attempts: 3, delay: 1 } },
      ...keys,
    })
  manifest()
  return {
    at,
    line,
    home,
    manifest,
    running: () => processesWith('MARK', mark),
    inStep: () => waitUntil('web1 is activating', () => existsSync(join(home, 'pid')), 120_000),
    late: () => existsSync(join(home, 'late')),
  }
}

/** What a step sees of the process that wrote its number there. */
const lookAtIt =
  'case $(sed "s/.*) //" /proc/$(cat "$HOME/pid")/stat 2>/dev/null) in "" | Z* | X*) echo gone ;; *) echo alive ;; esac >"$HOME/seen"'
const decided = (at: Site) => readFileSync(join(at.server('web1').root, '.deploy-action/journal'), 'utf8')

describe('a connection lost in a step', () => {
  it('is made again, and the script ended before anything else is done there; it is not repeated', {
    timeout: 300_000,
  }, async () => {
    const { at, line, home, manifest, running, inStep, late } = await overALine({ servers: 3 })
    manifest({ rollout: { max_failures: 2 }, cleanup: { run: lookAtIt, roles: ['web1'] } })
    at.change({ version: '2' })
    const action = at.start()
    await inStep()
    expect(running()).not.toEqual([])
    const before = line.made()
    line.cut()
    const result = await action.ended
    expect(result.code).toBe(1)
    expect(outcome(result)).toEqual({ succeeded: ['web2', 'web3'], failed: ['web1'] })
    expect(line.made()).toBeGreaterThan(before)
    expect(result.log).toMatch(/connection was lost.*made again; what still ran there was ended \(process group \d+\)/)
    expect([running(), late(), readFileSync(join(home, 'seen'), 'utf8')]).toEqual([[], false, 'gone\n'])
    expect(readFileSync(join(home, 'times'), 'utf8')).toBe('x\n')
    expect([listed(result, 'left-out'), await at.rotation('web1')]).toEqual([['web1'], 'drain'])
    expect(at.heldLocks()).toEqual([])
    expect(decided(at)).toContain('"type":"closed"')

    at.change({ version: '3' })
    const next = await at.deploy()
    expect(next.code, next.log).toBe(0)
    expect(await at.rotation('web1')).toBe('serving')
  })

  it('stops the deployment as any failed step, under parallel back in place', { timeout: 300_000 }, async () => {
    const { at, line, running, inStep, late } = await overALine({ servers: 2 })
    const before = at.current('web1')
    at.change({ version: '2' })
    const action = at.start({ strategy: 'parallel' })
    await inStep()
    line.cut()
    const result = await action.ended
    expect(result.code).toBe(1)
    expect(outcome(result)['rolled-back']).toEqual(['web1'])
    expect([at.current('web1'), running(), late(), at.heldLocks()]).toEqual([before, [], false, []])
    const answer = await fetch(`http://127.0.0.1:${at.server('web1').appPort}/`)
    expect([answer.status, answer.headers.get('x-release')]).toEqual([200, before])
  })

  it('that cannot be made again before the lease is over: the journal stays open, and recover mends it', {
    timeout: 300_000,
  }, async () => {
    const { at, line, running, inStep, late } = await overALine({ servers: 2 })
    const before = at.current('web1')
    at.change({ version: '2' })
    const action = at.start({}, { post: false })
    await inStep()
    line.let('silent')
    line.cut()
    const result = await action.ended
    expect(result.code).toBe(1)
    expect(outcome(result)).toEqual({ failed: ['web1'], pending: ['web2'] })
    expect(result.log).toMatch(/the lock on web1 is lost: no renewal was answered/)
    expect(decided(at)).not.toContain('"type":"closed"')

    line.let('pass')
    const recover = await at.deploy({ command: 'recover' })
    expect(recover.log).toMatch(/taken over/)
    expect([at.current('web1'), running(), late(), at.heldLocks()]).toEqual([before, [], false, []])
    await waitUntil('web1 serves', async () => (await at.rotation('web1')) === 'serving')
  })
})
