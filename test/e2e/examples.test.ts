import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { writeApp } from '../support/app.ts'
import { startLoad } from '../support/load.ts'
import { watchRotation } from '../support/rotation-watch.ts'
import { recorderScript, writePrograms } from '../support/service-manager.ts'
import type { Site } from '../support/site.ts'
import { listed, outcome, useSites } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const site = useSites()
const directories: string[] = []
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true })
})

interface Example {
  [key: string]: unknown
  verify: Record<string, unknown> | Record<string, unknown>[]
  load_balancers: { edge: Record<string, unknown> }
  release: Record<string, unknown>
  ssh: Record<string, unknown>
}

/** The example as it stands in the repository, with this site's addresses, ports and path in place of its own and nothing else changed. */
function adapted(name: string, at: Site, roles: (server: string) => readonly string[]): Example {
  const example = parse(readFileSync(new URL(`../../examples/${name}/deploy.yml`, import.meta.url), 'utf8')) as Example
  const user = at.balancerHost.user
  const checks = [example.verify].flat()
  return {
    ...example,
    ssh: {
      ...example.ssh,
      user,
      ...('bastion' in example.ssh ? { bastion: `${user}@127.0.0.1:${at.balancerHost.port}` } : {}),
    },
    servers: at.servers.map(s => ({
      name: s.name,
      host: `127.0.0.1:${s.sshd.port}`,
      roles: [...roles(s.name), s.name],
      env: { PORT: String(s.appPort) },
    })),
    release: { ...example.release, path: at.releasePath },
    verify: checks.flatMap(check => {
      if (!('http' in check)) return [check]
      const servers = at.servers.filter(s =>
        [check['roles'] ?? []].flat().every(role => roles(s.name).includes(role as string)),
      )
      return servers.map(s => ({ ...check, roles: [s.name], http: { ...(check['http'] as object), port: s.appPort } }))
    }),
  }
}

/** What a unit file would say. */
function writeUnits(at: Site): void {
  for (const s of at.servers)
    writeFileSync(
      join(s.sshd.home, 'unit.env'),
      `PORT=${s.appPort}\nNAME=${s.name}\nCURRENT='${at.releasePath}/current'\n`,
    )
}

async function programs(recorded: readonly string[]): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'programs-'))
  directories.push(directory)
  writePrograms(directory, recorded)
  return `${directory}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`
}

const calls = (at: Site, server: string): string =>
  existsSync(join(at.server(server).sshd.home, 'calls'))
    ? readFileSync(join(at.server(server).sshd.home, 'calls'), 'utf8')
    : ''

function put(at: Site, path: string, text: string): void {
  const file = join(at.workspace, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
  chmodSync(file, 0o755)
}

describe('the examples', () => {
  it('rails-haproxy: workers at once, then web servers one by one, without a failed request', {
    timeout: 600_000,
  }, async () => {
    const path = await programs(['bundle'])
    const at = await site({
      servers: ['web1', 'web2', 'web3', 'worker1', 'worker2'],
      notBehind: ['worker1', 'worker2'],
      backendName: 'storefront',
      startMs: 1000,
      seed: false,
      sshd: () => ({ env: { PATH: path } }),
    })
    writeUnits(at)
    put(at, 'bin/rails', recorderScript)
    put(at, 'db/migrate/001.rb', '# a migration\n')
    for (const s of at.servers) {
      mkdirSync(join(s.root, 'shared/config'), { recursive: true })
      writeFileSync(join(s.root, 'shared/config/master.key'), 'the key')
    }
    const manifest = adapted('rails-haproxy', at, name => (name.startsWith('web') ? ['web', 'db'] : ['worker']))
    Object.assign(manifest.load_balancers.edge, {
      hosts: [`127.0.0.1:${at.balancerHost.port}`],
      socket: at.haproxy.socket,
    })
    put(at, 'deploy.yml', stringify(manifest))
    at.commit('the first release')
    const env = { DATABASE_URL: 'postgres://example' }

    const first = await at.deploy({ strategy: 'parallel', migrate: 'false' }, { env })
    expect(first.code, first.log).toBe(0)
    await waitUntil('web1 to web3 are up', async () => {
      const states = await Promise.all(['web1', 'web2', 'web3'].map(at.rotation))
      return states.every(state => state === 'serving')
    })

    put(at, 'app/version', '2')
    put(at, 'db/migrate/002.rb', '# another one\n')
    at.commit('the second release, with a migration')
    const load = await startLoad(at.url)
    await load.more(100)
    const rotation = watchRotation(at)
    const second = await at.deploy({}, { env })
    const seen = await rotation.stop()
    await load.more(100)
    const requests = await load.stop()
    expect(second.code, second.log).toBe(0)
    expect(requests.problems).toEqual({})
    expect([seen.mostOut, seen.left]).toEqual([1, { web1: 1, web2: 1, web3: 1, worker1: 0, worker2: 0 }])
    expect(listed(second, 'succeeded').toSorted()).toEqual(['web1', 'web2', 'web3', 'worker1', 'worker2'])
    expect(second.outputs).toMatchObject({ strategy: 'serial', migrate: 'true' })
    expect(calls(at, 'web1').match(/rails db:migrate/g)).toHaveLength(1)
    for (const other of ['web2', 'web3', 'worker1', 'worker2']) expect(calls(at, other)).not.toContain('db:migrate')
    expect(calls(at, 'worker1')).toContain('bundle install')
    expect(calls(at, 'worker1')).not.toContain('assets:precompile')
    expect(calls(at, 'web3')).toContain('rails assets:precompile')
    expect(requests.byRelease[second.outputs['release'] ?? '']).toBeGreaterThan(0)
  })

  it('node-systemd: a balancer with a tool of its own, without a failed request', { timeout: 600_000 }, async () => {
    const path = await programs(['npm'])
    const at = await site({
      servers: ['api1', 'api2'],
      startMs: 1000,
      seed: false,
      sshd: () => ({ env: { PATH: path } }),
    })
    writeUnits(at)
    const tool = fileURLToPath(new URL('../support/lb-tool.mjs', import.meta.url))
    put(at, 'ops/lb', `#!/bin/sh\nexec '${process.execPath}' '${tool}' '${at.haproxy.socket}' ${at.backendName} "$@"\n`)
    for (const s of at.servers) {
      mkdirSync(join(s.root, 'shared'), { recursive: true })
      writeFileSync(join(s.root, 'shared/.env'), '')
    }
    put(at, 'deploy.yml', stringify(adapted('node-systemd', at, () => [])))
    writeApp(join(at.workspace, 'build'), { version: '1' })
    at.commit('the first release')

    const first = await at.deploy({ strategy: 'parallel' })
    expect(first.code, first.log).toBe(0)
    await waitUntil('both are up', async () =>
      (await Promise.all(['api1', 'api2'].map(at.rotation))).every(s => s === 'serving'),
    )

    writeApp(join(at.workspace, 'build'), { version: '2' })
    at.commit('the second release')
    const load = await startLoad(at.url)
    await load.more(100)
    const rotation = watchRotation(at)
    const second = await at.deploy()
    const seen = await rotation.stop()
    await load.more(100)
    const requests = await load.stop()
    expect(second.code, second.log).toBe(0)
    expect(requests.problems).toEqual({})
    expect([seen.mostOut, seen.left]).toEqual([1, { api1: 1, api2: 1 }])
    expect(outcome(second)).toEqual({ succeeded: ['api1', 'api2'] })
    expect(calls(at, 'api2')).toContain('npm ci --omit=dev')
    expect(requests.byRelease[second.outputs['release'] ?? '']).toBeGreaterThan(0)
  })
})
