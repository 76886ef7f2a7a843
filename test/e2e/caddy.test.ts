import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { type Caddy, type CaddyOptions, startCaddy } from '../support/caddy.ts'
import { type LoadReport, startLoad } from '../support/load.ts'
import { naiveRestart } from '../support/naive-restart.ts'
import type { Site } from '../support/site.ts'
import { slowAnswers } from '../support/slow-answers.ts'
import { startSshd } from '../support/sshd.ts'
import { listed, outcome, useSites } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const site = useSites()
const running: { stop(): Promise<void> }[] = []
afterEach(async () => {
  await Promise.all(running.splice(0).map(each => each.stop()))
})

const startMs = 500
const both = ['web1', 'web2']

/** A site whose users come in through Caddy. */
async function behindCaddy(
  settings: Readonly<Record<string, unknown>> = {},
  options: Omit<CaddyOptions, 'upstreams'> = {},
): Promise<{ at: Site; caddy: Caddy; url: string; dials: string[] }> {
  const at = await site({ servers: 2, startMs })
  const caddy = await startCaddy({ ...options, upstreams: at.servers.map(s => s.appPort) })
  // The host's PATH finds the Caddy that runs there.
  const host = await startSshd({ name: 'lb1', env: { PATH: `${caddy.programs}:/usr/bin:/bin` } })
  running.push(caddy, host)
  writeFileSync(join(at.workspace, '.github/known_hosts'), at.knownHosts + host.knownHosts)
  at.manifest({
    load_balancers: {
      edge: {
        provider: 'caddy',
        roles: ['web'],
        hosts: [`127.0.0.1:${host.port}`],
        admin: `127.0.0.1:${caddy.adminPort}`,
        id: 'app',
        member: '${{ server.host }}:${{ server.env.PORT }}',
        ...settings,
      },
    },
  })
  at.change({ version: '2' })
  const dials = at.servers.map(s => `127.0.0.1:${s.appPort}`)
  return { at, caddy, url: `http://127.0.0.1:${caddy.port}/`, dials }
}

/** Without the resets of kept connections, which are Caddy's own at each change of its configuration. */
const failedResponses = ({ problems }: LoadReport) =>
  Object.fromEntries(Object.entries(problems).filter(([problem]) => problem !== 'ECONNRESET'))

describe('behind a real Caddy, under keep-alive load', () => {
  it.each(['debian', 'newer'] as const)(
    'fails no response; only kept connections are reset, which a client that asks again never sees (%s)',
    { timeout: 600_000 },
    async program => {
      // Debian's Caddy does not count what a removed upstream still answers: the wait is longer than the longest request, also on a busy machine.
      const { at, caddy, url, dials } = await behindCaddy(
        program === 'debian' ? { wait_after_removing_servers: '4s' } : {},
        { program },
      )
      const slowUrl = `${url}slow?ms=300`
      const loads = await Promise.all([
        startLoad(url),
        startLoad(url, { askAgain: true }),
        startLoad(slowUrl, { askAgain: true }),
      ])
      await Promise.all(loads.map(load => load.more(50)))
      const result = await at.deploy()
      await Promise.all(loads.map(load => load.more(50)))
      const [plain, again, slow] = await Promise.all([loads[0].stop(), loads[1].stop(), loads[2].stop()])

      expect(result.code, result.log).toBe(0)
      expect(outcome(result)).toEqual({ succeeded: both })
      if (program === 'debian') expect(result.log).toMatch(/is 2\.\d+\.\d+, which does not count/)
      else expect(result.log).not.toMatch(/does not count/)
      expect(failedResponses(plain)).toEqual({})
      for (const { failed, problems } of [again, slow])
        expect({ failed, problems }).toEqual({ failed: 0, problems: {} })
      for (const { byServer } of [plain, again, slow]) expect(Object.keys(byServer).sort()).toEqual(both)
      expect(await caddy.dials()).toEqual(dials)
      console.info(
        `caddy (${program}): ${plain.served} + ${again.served} + ${slow.served} answers in ${result.seconds.toFixed(1)} s; resets of kept connections: ${plain.failed}, asked again: ${again.askedAgain + slow.askedAgain}; failed responses: 0`,
      )

      const naive = await Promise.all([startLoad(url, { askAgain: true }), startLoad(slowUrl, { askAgain: true })])
      await Promise.all(naive.map(load => load.more(50)))
      naiveRestart(at, startMs)
      await Promise.all(naive.map(load => load.more(50)))
      const lost = await Promise.all(naive.map(load => load.stop()))
      expect(lost.reduce((sum, { failed }) => sum + failed, 0)).toBeGreaterThan(0)
    },
  )

  it('waits for six-second answers without any wait set, where Caddy counts them', { timeout: 600_000 }, async () => {
    const { at, url } = await behindCaddy({}, { program: 'newer' })
    const slow = await slowAnswers(at, url)
    const result = await at.deploy()
    const answers = await Promise.all(slow)
    expect(result.code, result.log).toBe(0)
    expect(answers.map(a => a.status)).toEqual(slow.map(() => 200))
    expect([...new Set(answers.map(a => a.server))].sort()).toEqual(both)
  })

  it.each(['debian', 'newer'] as const)(
    'waits for them also when an operator reloads in the middle, which puts the server back (%s)',
    { timeout: 600_000 },
    async program => {
      const { at, caddy, url, dials } = await behindCaddy(
        program === 'debian' ? { wait_after_removing_servers: '9s' } : {},
        { program },
      )
      const slow = await slowAnswers(at, url)
      const run = at.start()
      await waitUntil('a server is removed', async () => (await caddy.dials()).length === 1)
      // Both are listed again, until the deployment sees it and takes the server out again.
      await caddy.reload()
      const answers = await Promise.all(slow)
      const result = await run.ended
      expect(result.code, result.log).toBe(0)
      expect(answers.map(a => a.status)).toEqual(slow.map(() => 200))
      expect(await caddy.dials()).toEqual(dials)
    },
  )

  it('keeps a server an operator took out, out, and deploys it', { timeout: 300_000 }, async () => {
    const { at, caddy, dials } = await behindCaddy()
    await caddy.api('PATCH', '/id/app/upstreams', [{ dial: dials[0] }])
    const result = await at.deploy({ servers: 'web2' })
    expect(result.code, result.log).toBe(0)
    expect(listed(result, 'kept-out')).toEqual(['web2'])
    expect(await caddy.dials()).toEqual([dials[0]])
    expect(at.current('web2')).toBe(result.outputs['release'])
  })
})
