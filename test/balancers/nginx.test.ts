import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { bringBack, takeOut } from '../../src/balancers/controller.ts'
import { nginx } from '../../src/balancers/nginx.ts'
import type { PlaceSettings } from '../../src/balancers/place.ts'
import { systemClock } from '../../src/clock.ts'
import { BalancerError } from '../../src/errors.ts'
import { startNginx } from '../support/nginx.ts'
import { plainConnection } from '../support/plain-connection.ts'
import { childrenOf, end } from '../support/processes.ts'
import { type Sshd, startSshd } from '../support/sshd.ts'
import { keepsTheContract } from './contract.ts'
import { server } from './fixtures.ts'
import { type NginxSite, nginxServers, nginxSite, nginxSubject } from './nginx-fixture.ts'

const { signal } = new AbortController()
const deps = { clock: systemClock, signal, onProgress: () => undefined }
const settings: PlaceSettings = {
  waitAfterRemoving: 0,
  waitAfterAdding: 0,
  drainTimeout: 20,
  addTimeout: 20,
  onDrainTimeout: 'fail',
}

let sshd: Sshd
beforeAll(async () => {
  sshd = await startSshd({ name: 'lb1' })
})
afterAll(() => sshd?.stop())

keepsTheContract('nginx over SSH', () => nginxSubject(sshd))

describe('a change of the file', () => {
  let here: NginxSite
  beforeAll(async () => {
    here = await nginxSite(sshd, { extra: ['include extra.d/*.conf;'] })
  })
  beforeEach(() => here.reset())
  afterAll(() => here?.stop())
  const facts = () => {
    const { mode, uid, gid } = statSync(here.nginx.file)
    return { mode, uid, gid }
  }
  const receiptOf = (balancer: ReturnType<NginxSite['build']>) => balancer.receipt(nginxServers[0], signal)
  const beside = () => readdirSync(dirname(here.nginx.file))

  it('keeps owner, mode, weight and comments, and leaves nothing beside it', async () => {
    if (process.getuid?.() === 0) chownSync(here.nginx.file, 65534, 65534)
    chmodSync(here.nginx.file, 0o604)
    await here.nginx.reload()
    const before = facts()
    const balancer = here.build()
    const receipt = await receiptOf(balancer)
    await balancer.remove(receipt, signal)
    const port = here.apps[0].port
    expect(here.nginx.text()).toContain(`    server 127.0.0.1:${port}  weight=2 max_fails=0 "down"; # web1\n`)
    expect(facts()).toEqual(before)
    await balancer.restore(receipt, signal)
    expect(here.nginx.text()).toBe(here.nginx.original)
    expect(facts()).toEqual(before)
    expect(beside()).toEqual(['app.conf'])
  })

  it('is taken back when `nginx -t` refuses it, and nothing is reloaded', async () => {
    const balancer = here.build()
    const receipt = await receiptOf(balancer)
    const inode = statSync(here.nginx.file).ino
    const workers = here.nginx.workers().current
    const config = readFileSync(here.nginx.config, 'utf8')
    writeFileSync(here.nginx.config, `${config}\nnonsense on;\n`)
    const error = await balancer.remove(receipt, signal).catch((e: unknown) => e)
    writeFileSync(here.nginx.config, config)
    expect(error).toBeInstanceOf(BalancerError)
    expect((error as BalancerError).message).toContain('unknown directive "nonsense"')
    expect((error as BalancerError).hint).toContain('put back as it was')
    expect(here.nginx.text()).toBe(here.nginx.original)
    expect(statSync(here.nginx.file).ino).toBe(inode)
    expect(here.nginx.workers().current).toEqual(workers)
    expect(beside()).toEqual(['app.conf'])
  })

  it('that nginx answers with success and does not load, as at an address in use, is not believed', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const address = taken.address()
    if (typeof address !== 'object' || address === null) throw new Error('no port was given')
    const config = readFileSync(here.nginx.config, 'utf8')
    const listen = `server { listen 127.0.0.1:${address.port}; }`
    const balancer = here.build()
    const receipt = await receiptOf(balancer)
    // `nginx -t` binds nothing: only the reload fails, and only the error log says so
    writeFileSync(here.nginx.config, config.replace('include extra.d/*.conf;', listen))
    const place = { balancer, receipt, settings: { ...settings, drainTimeout: 3 } }
    const result = await takeOut([place], deps)
    writeFileSync(here.nginx.config, config)
    taken.close()
    expect(here.nginx.errorLog()).toContain('bind()')
    expect(result).toMatchObject({
      result: 'failed',
      error: { message: expect.stringContaining('has not loaded the file') },
    })
    expect(here.nginx.text()).toBe(here.nginx.original)
  })

  it('by an operator who did not reload makes nothing known, and deploys nothing', async () => {
    const balancer = here.build()
    // On a busy machine a start is known to some hundred milliseconds only: the workers have to be older than that.
    await sleep(1500)
    here.nginx.write(here.nginx.original.replace(`:${here.apps[0].port} `, `:${here.apps[0].port} down `))
    const { rotation } = await balancer.preflight(nginxServers, signal)
    expect(rotation['web1']).toMatchObject({ state: 'unknown', detail: expect.stringContaining('reload') })
    await here.nginx.reload()
    expect((await balancer.preflight(nginxServers, signal)).rotation['web1']).toMatchObject({ state: 'out' })
  })

  it('of one line leaves what others write in theirs at the same time', async () => {
    const balancer = here.build()
    const receipt = await receiptOf(balancer)
    await balancer.remove(receipt, signal)
    here.nginx.write(here.nginx.text().replace('keepalive 16', 'keepalive 32').replace('# web2', '# web2, the old one'))
    await balancer.restore(receipt, signal)
    expect(here.nginx.text()).toBe(
      here.nginx.original.replace('keepalive 16', 'keepalive 32').replace('# web2', '# web2, the old one'),
    )
  })

  it('is made by another user where `become` says so', async () => {
    const balancer = here.build({ become: userInfo().username })
    const receipt = await receiptOf(balancer)
    await balancer.remove(receipt, signal)
    expect(here.nginx.text()).toContain('"down"')
    expect(await balancer.isOurs?.(receipt, signal)).toBe(true)
    expect(balancer.byHand(receipt)).toMatch(/ssh -p \d+ .*sudo/)
  })

  it('is undone by the command that is told for people', async () => {
    const balancer = here.build()
    const receipt = await receiptOf(balancer)
    await balancer.remove(receipt, signal)
    const [, line = ''] = /@127\.0\.0\.1' (.*)$/s.exec(balancer.byHand(receipt)) ?? []
    // what ssh would give to the shell there, without the reload of the machine's own nginx
    const there = execFileSync('sh', ['-c', `printf %s ${line}`], { encoding: 'utf8' }).split(' && ')[0] ?? ''
    execFileSync('sh', ['-c', there])
    expect(here.nginx.text()).toBe(here.nginx.original)
  })

  it('uses a reload script of the user, with its variables; what it fails with is told', async () => {
    const balancer = here.build({ reload: 'echo "no reload for $DEPLOY_SERVER" >&2; exit 4' })
    const error = await balancer.remove(await receiptOf(balancer), signal).catch((e: unknown) => e)
    expect((error as BalancerError).message).toMatch(/no reload for web1/)
    expect((error as BalancerError).hint).toContain('not in force')
  })

  it('waits for the lock of another writer, and says so when it does not come', { timeout: 120_000 }, async () => {
    const balancer = here.build()
    const receipt = await receiptOf(balancer)
    const holder = spawn('flock', [dirname(here.nginx.file), 'sh', '-c', 'echo held; exec sleep 100'])
    await once(holder.stdout, 'data')
    const error = await balancer.remove(receipt, signal).catch((e: unknown) => e)
    await end([...childrenOf(holder.pid ?? 0), holder.pid ?? 0])
    expect((error as BalancerError).message).toContain('holds the lock')
    expect(here.nginx.text()).toBe(here.nginx.original)
  })

  it('of a file that no nginx runs with is refused in preflight', async () => {
    const alone = join(sshd.home, 'alone.conf')
    writeFileSync(alone, here.nginx.original)
    for (const [file, message] of [
      [alone, /no nginx runs with this file/],
      [`${alone}.gone`, /there is no such file/],
    ] as const) {
      const error = await here
        .build({ file })
        .preflight(nginxServers, signal)
        .catch((e: unknown) => e)
      expect(error).toBeInstanceOf(BalancerError)
      expect((error as BalancerError).message).toMatch(message)
      expect((error as BalancerError).hint).toBeDefined()
    }
  })

  it('warns of the resets that a reload costs, with the version that it read', async () => {
    const { warnings } = await here.build().preflight(nginxServers, signal)
    expect(warnings.join()).toMatch(
      /nginx \d+\.\d+\.\d+ at lb1 closes idle keep-alive connections.*keepalive_min_timeout/,
    )
  })
})

describe('two hosts of nginx', () => {
  it('are both written, each with the nginx of its own files; a server is out only when it is out at both', async () => {
    const one = await nginxSite(sshd)
    const second = await startNginx({ members: one.apps })
    // lb2 has a mount namespace of its own, as a container does: at the path of lb1's file it sees its own
    const [path, own] = [dirname(one.nginx.file), dirname(second.file)]
    const lb2 = await startSshd({ name: 'lb2', mounts: { [path]: { directory: own } } })
    const hosts = [sshd, lb2].map((s, i) => server(`lb${i + 1}`, { port: s.port }))
    const build = () =>
      nginx(
        'edge',
        { provider: 'nginx', roles: [], on_drain_timeout: 'continue', hosts, file: one.nginx.file, member: 'x' },
        {
          connect: host => plainConnection(host.name === 'lb2' ? lb2 : sshd),
          servers: nginxServers,
          shell: 'sh',
          variables: () => ({ env: {}, secrets: {} }),
          resolve: (_text, at) => `127.0.0.1:${one.apps[at.name === 'web1' ? 0 : 1].port}`,
        },
      )
    const inside: number[] = []
    try {
      const outside = build()
      const error = await outside.preflight(nginxServers, signal).catch((e: unknown) => e)
      outside.close?.()
      expect((error as BalancerError).message).toMatch(/lb2:.*no nginx runs with this file/)
      expect((error as BalancerError).message).not.toMatch(/lb1:/)

      await end([...childrenOf(second.pid), second.pid])
      const session = await plainConnection(lb2)
      const log = join(dirname(second.config), 'error.log')
      const started = await session.run(`/usr/sbin/nginx -e '${log}' -c '${second.config}'`, { signal, timeout: 10 })
      session.close()
      expect(started).toMatchObject({ ended: 'exit', code: 0 })
      const pid = Number(readFileSync(join(dirname(second.config), 'pid'), 'utf8'))
      inside.push(pid)

      const balancer = build()
      const place = { balancer, receipt: await balancer.receipt(nginxServers[0], signal), settings }
      expect(place.receipt.before).toBe('serving')
      expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
      for (const file of [one.nginx.file, second.file]) expect(readFileSync(file, 'utf8')).toContain('"down"')
      // an operator undoes it at one of them
      second.write(second.original)
      process.kill(pid, 'SIGHUP')
      await expect
        .poll(async () => (await balancer.read(place.receipt, signal)).state, { timeout: 20_000 })
        .toBe('warming')
      expect(await bringBack([place], deps)).toEqual({ result: 'serving' })
      for (const nginx of [one.nginx, second]) expect(nginx.text()).toBe(nginx.original)
      expect(balancer.byHand(place.receipt).split('\n')).toHaveLength(2)
      balancer.close?.()
    } finally {
      await end(inside.flatMap(pid => [...childrenOf(pid), pid]))
      await lb2.stop()
      await second.stop()
      await one.stop()
    }
  })
})
