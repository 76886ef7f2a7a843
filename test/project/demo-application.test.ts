/** The demo's application and balancer alone: what the demo shows would prove nothing if they could not lose a request. */
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterEach, describe, expect, it } from 'vitest'
import { type Balancer, startBalancer } from '../../demo/balancer.ts'
import { freePort } from '../support/free-port.ts'
import { type Load, startLoad } from '../support/load.ts'
import { end, processesWith } from '../support/processes.ts'
import { waitUntil } from '../support/wait-until.ts'

const run = promisify(execFile)
const closing: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

interface Installed {
  readonly name: string
  readonly port: number
  /** Makes `current` point to a new release. */
  release(id: string): void
  script(name: 'restart' | 'reload'): Promise<void>
}

async function install(name: string): Promise<Installed> {
  const root = mkdtempSync(join(tmpdir(), `demo-${name}-`))
  closing.push(async () => {
    await end(processesWith('HOME', root))
    rmSync(root, { recursive: true, force: true })
  })
  const port = await freePort()
  const current = join(root, 'current')
  return {
    name,
    port,
    release: id => {
      cpSync('demo/site', join(root, 'releases', id), { recursive: true })
      rmSync(current, { force: true })
      symlinkSync(join('releases', id), current)
    },
    script: async script => {
      mkdirSync(join(root, 'run'), { recursive: true })
      const env = { PATH: process.env['PATH'], HOME: root, NODE: process.execPath, PORT: String(port) }
      await run(join(current, 'bin', script), { env: { ...env, DEPLOY_CURRENT_PATH: current } })
    },
  }
}

async function setUp(): Promise<{ servers: Installed[]; balancer: Balancer; load: Load }> {
  const servers = await Promise.all(['web1', 'web2'].map(install))
  for (const server of servers) server.release('one')
  await Promise.all(servers.map(server => server.script('restart')))
  const balancer = await startBalancer(servers)
  closing.push(() => balancer.stop())
  await waitUntil('both servers are up', () => servers.every(s => balancer.member(s.name)?.healthy))
  const load = await startLoad(`http://127.0.0.1:${balancer.port}/`)
  return { servers, balancer, load }
}

const succeeds = (work: Promise<unknown>) =>
  work.then(
    () => true,
    () => false,
  )
const control = (balancer: Balancer, ...args: string[]) =>
  run(process.execPath, ['demo/balancerctl.mjs', ...args], {
    env: { BALANCER_CONTROL: `http://127.0.0.1:${balancer.controlPort}` },
  })

describe('the application of the demo', () => {
  it('loses requests when it is restarted in rotation', async () => {
    const { servers, load } = await setUp()
    for (const server of servers) {
      await server.script('restart')
      await load.more(20)
    }
    expect((await load.stop()).failed).toBeGreaterThan(0)
  })

  it('loses none when it is restarted out of rotation', async () => {
    const { servers, balancer, load } = await setUp()
    const [server] = servers
    await control(balancer, 'remove', 'web1')
    await waitUntil('web1 is drained', () => succeeds(control(balancer, 'drained', 'web1')))
    server?.release('two')
    await server?.script('restart')
    await waitUntil('web1 is up', () => succeeds(fetch(`http://127.0.0.1:${server?.port}/up`)))
    await control(balancer, 'add', 'web1')
    await waitUntil('web1 serves', () => succeeds(control(balancer, 'serving', 'web1')))
    await load.more(50)
    const { problems, byRelease } = await load.stop()
    expect([problems, byRelease['two'] !== undefined]).toEqual([{}, true])
  })

  it('loses none when it is reloaded in rotation', async () => {
    const { servers, load } = await setUp()
    for (const id of ['two', 'three'])
      for (const server of servers) {
        server.release(id)
        await server.script('reload')
        await load.more(50)
      }
    // A connection to the release before may lie idle for the second that the balancer keeps it.
    await sleep(1_500)
    await load.more(50)
    const { problems, timeline } = await load.stop()
    expect([problems, timeline.at(-1)?.release]).toEqual([{}, 'three'])
  })
})
