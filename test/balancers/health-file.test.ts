import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { bringBack, takeOut } from '../../src/balancers/controller.ts'
import { healthFile } from '../../src/balancers/health-file.ts'
import { parseHealthFile } from '../../src/balancers/health-file-scripts.ts'
import type { PlaceSettings } from '../../src/balancers/place.ts'
import { systemClock } from '../../src/clock.ts'
import { BalancerError } from '../../src/errors.ts'
import type { Connection } from '../../src/fleet/connection.ts'
import type { BalancerOf, Server } from '../../src/manifest/manifest.ts'
import { startHaproxy } from '../support/haproxy.ts'
import { plainConnection } from '../support/plain-connection.ts'
import { type Sshd, startSshd } from '../support/sshd.ts'
import { waitUntil } from '../support/wait-until.ts'
import { keepsTheContract, type Subject } from './contract.ts'
import { server } from './fixtures.ts'
import { gatedApp } from './gated-app.ts'

const { signal } = new AbortController()
const servers = [server('web1'), server('web2')] as const
type DownWhen = 'absent' | 'present'
/** HAProxy below looks every 200 ms and believes the second answer; the rest is for a busy machine. */
const detect = 2

let sshd: Sshd
const open = new Set<Connection>()
let away = false
const closing: (() => void)[] = []
beforeAll(async () => {
  sshd = await startSshd({ name: 'web1' })
})
afterAll(async () => {
  for (const close of closing) close()
  await sshd?.stop()
})

const connect = async () => {
  if (away) throw new Error('the server is away')
  const connection = await plainConnection(sshd)
  open.add(connection)
  return connection
}
const goAway = () => {
  away = true
  for (const connection of open) connection.close()
  open.clear()
}

const build = (downWhen: DownWhen, path: string, behind: readonly Server[] = servers, seconds = detect) => {
  const settings: BalancerOf<'health-file'> = {
    provider: 'health-file',
    roles: [],
    on_drain_timeout: 'continue',
    path,
    down_when: downWhen,
    detect: seconds,
  }
  const deps = { connect, servers: behind, resolve: (text: string, at: Server) => text.replace('NAME', at.name) }
  const balancer = healthFile('edge', settings, deps)
  closing.push(() => balancer.close?.())
  return balancer
}

async function subject(downWhen: DownWhen): Promise<Subject> {
  const directory = join(sshd.home, downWhen)
  mkdirSync(directory, { recursive: true })
  const file = (name: string) => join(directory, `health-${name}`)
  const well = (name: string) => existsSync(file(name)) === (downWhen === 'absent')
  const up = (name: string) => {
    rmSync(join(directory, `.health-${name}.deploy-action`), { force: true })
    if (downWhen === 'present') rmSync(file(name), { force: true })
    else if (!existsSync(file(name))) writeFileSync(file(name), 'ok')
  }
  for (const { name } of servers) up(name)
  const apps = [await gatedApp('web1', () => well('web1')), await gatedApp('web2', () => well('web2'))] as const
  const haproxy = await startHaproxy({ backends: { web: { servers: apps } } })
  const isUp = async (name: string) => (await haproxy.status('web', name)) === 'UP'
  // `detect` is what a person promises of the balancer. Here the promise is kept, however busy the machine is: no wait ends sooner.
  const seesAll = async () => {
    for (const { name } of servers)
      await waitUntil(`HAProxy sees the file of ${name}`, async () => (await isUp(name)) === well(name))
  }
  const comesBack = async () => {
    away = false
  }
  return {
    servers: [...servers],
    apps,
    clock: {
      ...systemClock,
      sleep: async (ms, until) => {
        await systemClock.sleep(ms, until)
        await seesAll()
      },
    },
    build: behind => build(downWhen, join(directory, 'health-NAME'), behind),
    port: haproxy.port,
    cannot: {
      'in flight': 'nobody counts what is in flight',
      unhealthy: 'nobody can be asked about its health',
      'unknown member': 'the member is the server itself',
      'ambiguous member': 'the member is the server itself',
      'silent no-op': 'a file is there or it is not',
      throttling: 'a server is not throttled',
    },
    strangers: { unknown: [], ambiguous: [] },
    truth: async () => ((await isUp('web1')) ? 'in' : 'maintenance'),
    operatorTakesOut: async () => {
      if (downWhen === 'absent') rmSync(file('web1'))
      else writeFileSync(file('web1'), 'maintenance since noon\n')
      await waitUntil('HAProxy has noticed', async () => !(await isUp('web1')))
    },
    reload: async () => up('web1'),
    fault: async () => {
      goAway()
      return comesBack
    },
    // Nobody renames or makes files there, root neither.
    denied: () => ({
      balancer: build(downWhen, downWhen === 'absent' ? '/proc/version' : '/proc/no-such-health-file'),
    }),
    reset: async () => {
      await comesBack()
      for (const app of apps) {
        app.health(200)
        app.release()
        up(app.name)
        await waitUntil(`${app.name} is up`, () => isUp(app.name))
      }
    },
    stop: async () => {
      await haproxy.stop()
      for (const app of apps) {
        app.release()
        await app.stop()
      }
    },
  }
}

keepsTheContract('health-file, down when absent', () => subject('absent'))
keepsTheContract('health-file, down when present', () => subject('present'))

describe('the health file', () => {
  let directory: string
  let file: string
  beforeEach(() => {
    directory = join(sshd.home, 'exactly')
    file = join(directory, 'health')
    rmSync(directory, { recursive: true, force: true })
    mkdirSync(directory)
    writeFileSync(file, 'all\0 well\r\n')
    chmodSync(file, 0o604)
    utimesSync(file, 1_700_000_000, 1_700_000_000)
  })
  const state = () => {
    const { mode, uid, gid, mtimeMs, ino } = statSync(file)
    return { content: readFileSync(file, 'latin1'), mode, uid, gid, mtimeMs, ino }
  }
  const deps = { clock: systemClock, signal, onProgress: () => undefined }
  const settings: PlaceSettings = {
    waitAfterRemoving: 0,
    waitAfterAdding: 0,
    drainTimeout: undefined,
    addTimeout: undefined,
    onDrainTimeout: 'fail',
  }

  it('comes back with its content, mode, owner and time, and leaves nothing beside it', async () => {
    const before = state()
    const balancer = build('absent', file, servers, 1)
    const place = { balancer, receipt: await balancer.receipt(servers[0], signal), settings }
    expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
    expect(existsSync(file)).toBe(false)
    expect(await bringBack([place], deps)).toEqual({ result: 'serving' })
    expect(state()).toEqual(before)
    expect(await connect().then(c => c.run(`ls -A '${directory}'`, { signal, timeout: 10 }))).toMatchObject({
      stdout: 'health\n',
    })
  })

  it('that somebody else wrote while it was away stays as he wrote it', async () => {
    const balancer = build('absent', file)
    const receipt = await balancer.receipt(servers[0], signal)
    await balancer.remove(receipt, signal)
    writeFileSync(file, 'a newer one')
    expect((await balancer.read(receipt, signal)).state).toBe('serving')
    await balancer.restore(receipt, signal)
    expect(readFileSync(file, 'utf8')).toBe('a newer one')
  })

  it('that an operator made says down, and is neither ours nor taken away', async () => {
    const present = build('present', file)
    const receipt = await present.receipt(servers[0], signal)
    expect(receipt.before).toBe('out')
    expect(await present.isOurs?.(receipt, signal)).toBe(false)
    await present.restore({ ...receipt, data: { down: false } }, signal)
    expect(state().content).toBe('all\0 well\r\n')
  })

  it('is known as ours by another process, and its age too', async () => {
    const receipt = await build('absent', file).receipt(servers[0], signal)
    await build('absent', file).remove(receipt, signal)
    const another = build('absent', file, servers, 3600)
    expect(await another.isOurs?.(receipt, signal)).toBe(true)
    expect(await another.read(receipt, signal)).toMatchObject({ state: 'draining' })
    expect(await build('absent', file, servers, 0).read(receipt, signal)).toMatchObject({ state: 'out' })
  })

  it.each([
    ['in a directory that is not there', () => join(directory, 'no', 'health'), /there is no directory/],
    ['that is a directory', () => directory, /is a directory/],
    ['that is not absolute', () => 'health', /not absolute/],
  ])('%s is refused in preflight, with every server and what to do', async (_what, path, message) => {
    const error = await build('absent', path())
      .preflight(servers, signal)
      .catch((e: unknown) => e)
    expect(error).toBeInstanceOf(BalancerError)
    expect((error as BalancerError).message).toMatch(message)
    expect((error as BalancerError).message).toMatch(/web1:.*web2:/)
    expect((error as BalancerError).hint).toContain('`path`')
  })

  it('that takes every server out is asked about: more likely a wrong path than an operator', async () => {
    const report = await build('absent', `${file}-typo`).preflight(servers, signal)
    expect(report.rotation).toMatchObject({ web1: { state: 'out' }, web2: { state: 'out' } })
    expect(report.warnings.join()).toContain('is `path` right')
  })

  it('with a receipt from a hostile server changes nothing', async () => {
    const balancer = build('absent', file)
    const receipt = { balancer: 'edge', server: 'web1', before: 'serving', data: { down: 'no; rm' } } as const
    await expect(balancer.restore(receipt, signal)).rejects.toThrow(BalancerError)
  })
})

describe('the age of a health file', () => {
  it.each([
    ['of ours counts from its rename', 'ours 100 90 10', 9],
    ['just put back counts from its rename', 'up 100 97 10', 2],
    ['that an application touches again and again is not known', 'up 100 100 100', Number.POSITIVE_INFINITY],
    ['that an operator took away is not known', 'operator 100 0 0', Number.POSITIVE_INFINITY],
    ['is never below zero, whatever the clock did', 'ours 100 190 10', 0],
  ])('%s', (_what, text, age) => {
    expect(parseHealthFile(text)?.age).toBe(age)
  })

  it('is nothing where the answer is no answer', () => expect(parseHealthFile('ours soon')).toBeNull())
})
