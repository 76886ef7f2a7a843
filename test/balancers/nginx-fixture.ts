/** A real nginx before two real applications, for the contract. */
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { nginx } from '../../src/balancers/nginx.ts'
import type { Connection } from '../../src/fleet/connection.ts'
import type { BalancerOf, Server } from '../../src/manifest/manifest.ts'
import { type Nginx, type NginxOptions, startNginx } from '../support/nginx.ts'
import { plainConnection } from '../support/plain-connection.ts'
import type { Sshd } from '../support/sshd.ts'
import type { Subject } from './contract.ts'
import { server } from './fixtures.ts'
import { type GatedApp, gatedApp } from './gated-app.ts'

export interface NginxSite {
  readonly nginx: Nginx
  readonly apps: readonly [GatedApp, GatedApp]
  /** All connections that are open end, and no new one is made until it is false again. */
  away(is: boolean): void
  build(more?: Partial<BalancerOf<'nginx'>>, behind?: readonly Server[]): ReturnType<typeof nginx>
  reset(): Promise<void>
  stop(): Promise<void>
}

export const nginxServers = [server('web1'), server('web2')] as const

export async function nginxSite(sshd: Sshd, options: Partial<NginxOptions> = {}): Promise<NginxSite> {
  const apps = [await gatedApp('web1'), await gatedApp('web2')] as const
  const real = await startNginx({ members: apps, ...options })
  const open = new Set<Connection>()
  let isAway = false
  const connect = async () => {
    if (isAway) throw new Error('lb1 is away')
    const connection = await plainConnection(sshd)
    open.add(connection)
    return connection
  }
  const closing: (() => void)[] = []
  // What a server is called there: every one has its own port of one address here.
  const addresses: Record<string, string> = {
    ...Object.fromEntries(apps.map(app => [app.name, `127.0.0.1:${app.port}`])),
    other: '127.0.0.1',
  }
  return {
    nginx: real,
    apps,
    away: is => {
      isAway = is
      if (is) for (const connection of open) connection.close()
      open.clear()
    },
    build: (more = {}, behind = nginxServers) => {
      const settings: BalancerOf<'nginx'> = {
        provider: 'nginx',
        roles: [],
        on_drain_timeout: 'continue',
        hosts: [server('lb1', { port: sshd.port })],
        file: real.file,
        member: 'ADDRESS',
        ...more,
      }
      const balancer = nginx('edge', settings, {
        connect,
        servers: behind,
        shell: 'sh',
        variables: at => ({ env: { DEPLOY_SERVER: at.name }, secrets: {} }),
        resolve: (text, at) => text.replace('ADDRESS', addresses[at.name] ?? at.host),
      })
      closing.push(() => balancer.close?.())
      return balancer
    },
    reset: async () => {
      for (const app of apps) {
        app.health(200)
        app.release()
      }
      real.write(real.original)
      await real.reload()
    },
    stop: async () => {
      for (const close of closing) close()
      for (const app of apps) app.release()
      await real.stop()
      for (const app of apps) await app.stop()
    },
  }
}

export async function nginxSubject(sshd: Sshd): Promise<Subject> {
  const site = await nginxSite(sshd)
  const { apps, nginx: real } = site
  const stuck = join(sshd.home, 'reload-does-nothing')
  // The person's reload: what systemd would do, unless the test wants it to do nothing and say that it did.
  const reload = `[ -e '${stuck}' ] || kill -HUP ${real.pid}`
  const [app1] = apps
  const line = () =>
    real
      .text()
      .split('\n')
      .find(l => l.includes(`:${app1.port} `)) ?? ''
  const comesBack = async () => {
    rmSync(stuck, { force: true })
    site.away(false)
  }
  return {
    servers: [...nginxServers],
    apps,
    build: behind => site.build({ reload }, behind),
    port: real.port,
    cannot: {
      unhealthy: 'nginx checks nobody by itself',
      throttling: 'a host is not throttled',
    },
    strangers: {
      unknown: [server('web8', { host: '10.9.9.8' }), server('web9', { host: '10.9.9.9' })],
      ambiguous: [server('other')],
    },
    truth: async () => (line().includes('"down"') ? 'draining' : /\bdown\b/.test(line()) ? 'maintenance' : 'in'),
    operatorTakesOut: async () => {
      real.write(real.text().replace(`:${app1.port} `, `:${app1.port} down `))
      await real.reload()
    },
    reload: async () => {
      real.write(real.original)
      await real.reload()
    },
    fault: async fault => {
      if (fault === 'silent no-op') writeFileSync(stuck, '')
      else site.away(true)
      return comesBack
    },
    denied: () => ({ balancer: site.build({ become: 'nobody' }) }),
    reset: async () => {
      if (existsSync(stuck)) rmSync(stuck)
      site.away(false)
      await site.reset()
    },
    stop: site.stop,
  }
}
