import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { startLoads } from '../support/load.ts'
import type { Site } from '../support/site.ts'
import { slowAnswers } from '../support/slow-answers.ts'
import { listed, outcome, useSites } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const site = useSites()
const directories: string[] = []
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true })
})

interface Here {
  readonly at: Site
  file(name: string): string
}

/** A site behind a HAProxy that knows nothing of deployments: it asks each server for its health, and that hangs on a file. */
async function withHealthFiles(
  more: Readonly<Record<string, unknown>> = {},
  keys: (at: Site) => Readonly<Record<string, unknown>> = () => ({}),
): Promise<Here> {
  const directory = mkdtempSync(join(tmpdir(), 'health-'))
  directories.push(directory)
  const file = (name: string) => join(directory, name, 'health')
  for (const name of ['web1', 'web2']) {
    mkdirSync(join(directory, name))
    writeFileSync(file(name), 'well\n', { mode: 0o604 })
  }
  const at = await site({ servers: 2, startMs: 500, sshd: name => ({ env: { HEALTH_FILE: file(name) } }) })
  at.manifest({
    ...keys(at),
    load_balancers: {
      edge: {
        provider: 'health-file',
        roles: ['web'],
        path: `${directory}/\${{ server.name }}/health`,
        // two checks 200 ms apart, before and behind; the rest is for a busy machine
        detect: 5,
        ...more,
      },
    },
  })
  at.change({ version: '2' })
  return { at, file }
}

function naiveRestart({ at, file }: Here): void {
  for (const { sshd, appPort, name, root } of at.servers) {
    const own = { HOME: sshd.home, NODE: process.execPath, PORT: String(appPort), START_MS: '500' }
    const env = { PATH: process.env['PATH'], HEALTH_FILE: file(name), ...own, DEPLOY_SERVER: name, DEPLOY_RELEASE: 'n' }
    execFileSync('./activate', { cwd: `${root}/current`, env })
  }
}

describe('a health file, behind a real HAProxy that checks it, under keep-alive load', () => {
  it('fails no request, and the files are as they were; a naive restart loses some', { timeout: 600_000 }, async () => {
    const here = await withHealthFiles()
    const { at, file } = here
    const files = () =>
      at.servers.map(s => {
        const { mode, mtimeMs, ino } = statSync(file(s.name))
        return { content: readFileSync(file(s.name), 'utf8'), mode, mtimeMs, ino }
      })
    const before = files()
    const load = await startLoads(at.url)
    await load.more(200)
    const result = await at.deploy()
    await load.more(200)
    const { short, slow } = await load.stop()
    expect(result.code, result.log).toBe(0)
    expect(outcome(result)).toEqual({ succeeded: ['web1', 'web2'] })
    for (const { failed, problems } of [short, slow]) expect({ failed, problems }).toEqual({ failed: 0, problems: {} })
    expect(Object.keys(short.byServer).sort()).toEqual(['web1', 'web2'])
    expect(files()).toEqual(before)
    console.info(`health-file: ${short.served} + ${slow.served} answers, failed: 0, in ${Math.round(result.seconds)} s`)

    const naive = await startLoads(at.url)
    await naive.more(200)
    naiveRestart(here)
    await naive.more(200)
    const lost = await naive.stop()
    expect(lost.short.failed + lost.slow.failed).toBeGreaterThan(0)
  })

  it('cuts no six-second answer with a wait as long, also when HAProxy is reloaded in the middle', {
    timeout: 600_000,
  }, async () => {
    const gate = (at: Site) => join(at.temp, 'gate')
    const { at, file } = await withHealthFiles({ wait_after_removing_servers: '9s' }, here => ({
      prepare: `touch ${gate(here)}.$DEPLOY_SERVER; until [ -e ${gate(here)} ]; do sleep 0.1; done`,
    }))
    const run = at.start()
    await waitUntil('all that comes before a removal is done', () => existsSync(`${gate(at)}.web1`))
    const slow = await slowAnswers(at, at.url)
    writeFileSync(gate(at), '')
    await waitUntil('web1 is taken out', () => !existsSync(file('web1')))
    await waitUntil('HAProxy has noticed', async () => (await at.rotation('web1')) === 'down')
    await at.haproxy.reload()
    const answers = await Promise.all(slow)
    const result = await run.ended
    expect(result.code, result.log).toBe(0)
    expect(answers.map(a => a.status)).toEqual(slow.map(() => 200))
    expect(new Set(answers.map(a => a.server))).toEqual(new Set(['web1', 'web2']))
    await waitUntil('both are up', async () =>
      (await Promise.all(['web1', 'web2'].map(at.rotation))).every(s => s === 'serving'),
    )
  })

  it('keeps a server whose file an operator took away, out', { timeout: 300_000 }, async () => {
    const { at, file } = await withHealthFiles()
    rmSync(file('web2'))
    const result = await at.deploy({ servers: 'web2' })
    expect(result.code, result.log).toBe(0)
    expect(listed(result, 'kept-out')).toEqual(['web2'])
    expect(existsSync(file('web2'))).toBe(false)
    expect(at.current('web2')).toBe(result.outputs['release'])
  })
})
