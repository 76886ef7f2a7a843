/** A real Apache before two real applications, for the contract and for what only Apache does. */
import { apache } from '../../src/balancers/apache.ts'
import type { LoadBalancer } from '../../src/balancers/balancer.ts'
import type { BalancerOf, Server } from '../../src/manifest/manifest.ts'
import { type Apache, type ApacheOptions, startApache } from '../support/apache.ts'
import { plainConnection } from '../support/plain-connection.ts'
import { startSshd } from '../support/sshd.ts'
import { waitUntil } from '../support/wait-until.ts'
import { startFront } from './admin-front.ts'
import type { Subject } from './contract.ts'
import { server } from './fixtures.ts'
import { gatedApp, get } from './gated-app.ts'

export interface ApacheSite extends Subject {
  readonly real: Apache
  build(behind?: readonly Server[], more?: Partial<BalancerOf<'apache'>>): LoadBalancer
}

export async function apacheSite(options: Omit<ApacheOptions, 'members'> = {}): Promise<ApacheSite> {
  const apps = [await gatedApp('web1'), await gatedApp('web2')] as const
  const real = await startApache({ ...options, members: apps })
  const front = await startFront(real.port)
  const sshd = await startSshd({ name: 'lb1' })
  const servers = [server('web1'), server('web2')] as const
  const closing: (() => void)[] = []
  const build = (behind: readonly Server[] = servers, more: Partial<BalancerOf<'apache'>> = {}) => {
    const settings: BalancerOf<'apache'> = {
      provider: 'apache',
      roles: [],
      on_drain_timeout: 'continue',
      hosts: [server('lb1', { port: sshd.port })],
      admin: `127.0.0.1:${front.port}`,
      balancer: 'app',
      path: '/manager',
      ...more,
    }
    const balancer = apache('edge', settings, {
      connect: () => plainConnection(sshd),
      servers: behind,
      resolve: (text, at) => text.replace('NAME', at.name),
    })
    closing.push(() => balancer.close?.())
    return balancer
  }
  const ready = { w_status_D: '0', w_status_N: '0', w_lf: '1', w_ls: '0' }
  return {
    servers,
    apps,
    real,
    build,
    port: real.port,
    cannot: options.checked ? {} : { unhealthy: 'this Apache checks the health of nobody' },
    strangers: {
      unknown: [server('web8', { host: '10.9.9.8' }), server('web9', { host: '10.9.9.9' })],
      ambiguous: [server('other')],
    },
    truth: async () => {
      const words = await real.status('web1')
      return words.includes('Dis') ? 'maintenance' : words.includes('Drn') ? 'draining' : 'in'
    },
    operatorTakesOut: () => real.set('web1', { w_status_D: '1' }),
    reload: real.reload,
    fault: async what => {
      front.fail(what === 'silent no-op' ? 'drops the referer' : what === 'throttling' ? 'throttled' : 'gone')
      return async () => front.fail(null)
    },
    denied: () => ({ balancer: build(servers, { path: '/denied' }) }),
    reset: async () => {
      front.fail(null)
      for (const app of apps) {
        app.health(200)
        app.release()
        await real.set(app.name, ready)
      }
      for (const app of apps) {
        await waitUntil(`${app.name} is Ok`, async () => (await real.status(app.name)) === 'Init Ok')
        await waitUntil(`${app.name} is sent a request`, async () => (await get(real.port)) === app.name)
      }
    },
    stop: async () => {
      for (const close of closing) close()
      await front.stop()
      await Promise.all([real.stop(), sshd.stop()])
      for (const app of apps) await app.stop()
    },
  }
}
