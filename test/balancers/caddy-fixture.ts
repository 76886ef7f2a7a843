/** A real Caddy before two real applications, for the contract. */
import type { LoadBalancer } from '../../src/balancers/balancer.ts'
import { caddy } from '../../src/balancers/caddy.ts'
import type { BalancerOf, Server } from '../../src/manifest/manifest.ts'
import { type Caddy, type CaddyOptions, startCaddy } from '../support/caddy.ts'
import { plainConnection } from '../support/plain-connection.ts'
import { startSshd } from '../support/sshd.ts'
import { waitUntil } from '../support/wait-until.ts'
import { startFront } from './admin-front.ts'
import type { Subject } from './contract.ts'
import { server } from './fixtures.ts'
import { gatedApp, get } from './gated-app.ts'

export interface CaddySite extends Subject {
  readonly real: Caddy
  /** Dial addresses of web1 and web2. */
  readonly dials: readonly [string, string]
  build(behind?: readonly Server[], more?: Partial<BalancerOf<'caddy'>>): LoadBalancer
}

export async function caddySite(
  options: Omit<CaddyOptions, 'upstreams'> = {},
  cannot: Subject['cannot'] = {},
): Promise<CaddySite> {
  const apps = [await gatedApp('web1'), await gatedApp('web2')] as const
  const upstreams = apps.map(a => a.port)
  const real = await startCaddy({ ...options, upstreams })
  const strange = await startCaddy({ ...options, upstreams, admin: { origins: ['admin.example:1'] } })
  const front = await startFront(real.adminPort)
  const sshd = await startSshd({ name: 'lb1', env: { PATH: `${real.programs}:/usr/bin:/bin` } })
  const dials = [`127.0.0.1:${apps[0].port}`, `127.0.0.1:${apps[1].port}`] as const
  const servers = [server('web1', { id: dials[0] }), server('web2', { id: dials[1] })] as const
  const closing: (() => void)[] = []
  const at = (port: number, behind: readonly Server[] = servers, more: Partial<BalancerOf<'caddy'>> = {}) => {
    const balancer = caddy(
      'edge',
      {
        provider: 'caddy',
        roles: [],
        on_drain_timeout: 'continue',
        hosts: [server('lb1', { port: sshd.port })],
        admin: `127.0.0.1:${port}`,
        id: 'app',
        ...more,
      },
      { connect: () => plainConnection(sshd), servers: behind, resolve: (text, of) => text.replace('HOST', of.host) },
    )
    closing.push(() => balancer.close?.())
    return balancer
  }
  const isIn = async () => (await real.dials()).includes(dials[0])
  return {
    servers,
    apps,
    real,
    dials,
    build: (behind, more) => at(front.port, behind, more),
    port: real.port,
    cannot,
    strangers: {
      unknown: [server('web8', { host: '10.9.9.8' }), server('web9', { host: '10.9.9.9' })],
      ambiguous: [server('other')],
    },
    truth: async () => ((await isIn()) ? 'in' : 'maintenance'),
    operatorTakesOut: async () => {
      await real.api('PATCH', '/id/app/upstreams', [{ dial: dials[1] }])
    },
    reload: real.reload,
    fault: async what => {
      front.fail(what === 'silent no-op' ? 'answers writes itself' : what === 'throttling' ? 'throttled' : 'gone')
      return async () => front.fail(null)
    },
    denied: () => ({ balancer: at(strange.adminPort) }),
    reset: async () => {
      front.fail(null)
      for (const app of apps) {
        app.health(200)
        app.release()
      }
      await real.reload()
      for (const app of apps)
        await waitUntil(`${app.name} is sent a request`, async () => (await get(real.port)) === app.name)
    },
    stop: async () => {
      for (const close of closing) close()
      await front.stop()
      await Promise.all([real.stop(), strange.stop(), sshd.stop()])
      for (const app of apps) await app.stop()
    },
  }
}
