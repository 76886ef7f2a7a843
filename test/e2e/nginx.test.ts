import { execFileSync } from 'node:child_process'
import { afterEach, describe, expect, it } from 'vitest'
import { type LoadReport, startLoad } from '../support/load.ts'
import { type Nginx, startNginx } from '../support/nginx.ts'
import type { Site } from '../support/site.ts'
import { slowAnswers } from '../support/slow-answers.ts'
import { listed, outcome, useSites } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const site = useSites()
const running: Nginx[] = []
afterEach(async () => {
  await Promise.all(running.splice(0).map(nginx => nginx.stop()))
})

/** A site whose users come in through nginx. */
async function behindNginx(): Promise<{ at: Site; nginx: Nginx; url: string }> {
  const at = await site({ servers: 2, startMs: 500 })
  const nginx = await startNginx({ members: at.servers.map(s => ({ name: s.name, port: s.appPort })) })
  running.push(nginx)
  at.manifest({
    load_balancers: {
      edge: {
        provider: 'nginx',
        roles: ['web'],
        hosts: [`127.0.0.1:${at.balancerHost.port}`],
        file: nginx.file,
        member: '127.0.0.1:${{ server.env.PORT }}',
      },
    },
  })
  at.change({ version: '2' })
  return { at, nginx, url: `http://127.0.0.1:${nginx.port}/` }
}

/** Without the resets of kept connections: nginx before 1.27.4 closes idle ones at each reload. */
const failedResponses = ({ problems }: LoadReport) =>
  Object.fromEntries(Object.entries(problems).filter(([problem]) => problem !== 'ECONNRESET'))

function naiveRestart(at: Site): void {
  for (const { sshd, appPort, name, root } of at.servers) {
    const own = { HOME: sshd.home, NODE: process.execPath, PORT: String(appPort), START_MS: '500' }
    const env = { PATH: process.env['PATH'], ...own, DEPLOY_SERVER: name, DEPLOY_RELEASE: 'naive' }
    execFileSync('./activate', { cwd: `${root}/current`, env })
  }
}

describe('behind a real nginx, under keep-alive load', () => {
  it('fails no response; only kept connections are reset, which a client that asks again never sees; a naive restart loses requests', {
    timeout: 240_000,
  }, async () => {
    const { at, nginx, url } = await behindNginx()
    const slowUrl = `${url}slow?ms=300`
    const loads = await Promise.all([
      startLoad(url),
      startLoad(url, { askAgain: true }),
      startLoad(slowUrl, { askAgain: true }),
    ])
    await Promise.all(loads.map(load => load.more(160)))
    const result = await at.deploy()
    await Promise.all(loads.map(load => load.more(160)))
    const [plain, again, slow] = await Promise.all([loads[0].stop(), loads[1].stop(), loads[2].stop()])

    expect(result.code, result.log).toBe(0)
    expect(outcome(result)).toEqual({ succeeded: ['web1', 'web2'] })
    expect(result.log).toMatch(/nginx [\d.]+ at .*closes idle keep-alive connections at each reload/)
    expect(failedResponses(plain)).toEqual({})
    for (const { failed, problems } of [again, slow]) expect({ failed, problems }).toEqual({ failed: 0, problems: {} })
    for (const { byServer, served } of [plain, again]) {
      expect(served).toBeGreaterThan(300)
      expect(Object.keys(byServer).sort()).toEqual(['web1', 'web2'])
    }
    expect(nginx.text()).toBe(nginx.original)
    console.info(
      `nginx: ${plain.served} + ${again.served} + ${slow.served} answers; resets of kept connections: ${plain.failed} unseen by ${again.askedAgain + slow.askedAgain} asked again; failed responses: 0`,
    )

    const naive = await startLoad(url, { askAgain: true })
    await naive.more(200)
    naiveRestart(at)
    await naive.more(200)
    expect((await naive.stop()).failed).toBeGreaterThan(0)
  })

  it('waits for six-second answers, also when an operator reloads in the middle', { timeout: 240_000 }, async () => {
    const { at, nginx, url } = await behindNginx()
    const slow = await slowAnswers(at, url)
    const run = at.start()
    await waitUntil('a server is marked down', () => nginx.text().includes('"down"'), 120_000)
    await nginx.reload()
    const answers = await Promise.all(slow)
    const result = await run.ended
    expect(result.code, result.log).toBe(0)
    expect(answers.map(a => a.status)).toEqual(slow.map(() => 200))
    expect(new Set(answers.map(a => a.server))).toEqual(new Set(['web1', 'web2']))
    expect(nginx.text()).toBe(nginx.original)
  })

  it('keeps a server an operator took out, out, and deploys it', { timeout: 240_000 }, async () => {
    const { at, nginx } = await behindNginx()
    const port = at.server('web2').appPort
    nginx.write(nginx.original.replace(`:${port} `, `:${port} down `))
    await nginx.reload()
    const before = nginx.text()
    const result = await at.deploy({ servers: 'web2' })
    expect(result.code, result.log).toBe(0)
    expect(listed(result, 'kept-out')).toEqual(['web2'])
    expect(nginx.text()).toBe(before)
    expect(at.current('web2')).toBe(result.outputs['release'])
  })
})
