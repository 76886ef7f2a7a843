/** A real HAProxy before two real applications, for the contract. */
import { existsSync, renameSync } from 'node:fs'
import type { LoadBalancer } from '../../src/balancers/balancer.ts'
import type { Server } from '../../src/manifest/manifest.ts'
import { type Backend, type Haproxy, startHaproxy } from '../support/haproxy.ts'
import { waitUntil } from '../support/wait-until.ts'
import type { Subject } from './contract.ts'
import { server } from './fixtures.ts'
import { type GatedApp, gatedApp } from './gated-app.ts'

export interface Site {
  readonly haproxy: Haproxy
  readonly apps: readonly [GatedApp, GatedApp]
  /** Admin state ready and up, for both. */
  reset(): Promise<void>
  stop(): Promise<void>
}

export async function site(
  backend: Omit<Backend, 'servers'> = {},
  backends: readonly string[] = ['web'],
): Promise<Site> {
  const apps = [await gatedApp('web1'), await gatedApp('web2')] as const
  const haproxy = await startHaproxy({
    backends: Object.fromEntries(backends.map(name => [name, { ...backend, servers: apps }])),
  })
  const reset = async () => {
    for (const app of apps) {
      app.health(200)
      app.release()
      for (const name of backends) {
        await haproxy.command(`set server ${name}/${app.name} state ready`)
        await haproxy.command(`set server ${name}/${app.name} weight 1`)
        await waitUntil(`${app.name} is up`, async () =>
          ['UP', 'no check'].includes(await haproxy.status(name, app.name)),
        )
      }
    }
  }
  return {
    haproxy,
    apps,
    reset,
    stop: async () => {
      await haproxy.stop()
      for (const app of apps) await app.stop()
    },
  }
}

export type BuildFor = (socket: string) => (servers?: readonly Server[]) => LoadBalancer

export async function subject(buildFor: BuildFor, cannot: Subject['cannot'] = {}): Promise<Subject> {
  const { haproxy, apps, reset, stop } = await site()
  const operator = await startHaproxy({ backends: { web: { servers: apps } }, level: 'operator' })
  const gone = `${haproxy.socket}.gone`
  const comesBack = async () => {
    if (existsSync(gone)) renameSync(gone, haproxy.socket)
  }
  return {
    servers: [server('web1'), server('web2')],
    apps,
    build: buildFor(haproxy.socket),
    cannot: {
      'silent no-op': 'the socket answers what it does not do with a text',
      throttling: 'a socket on the host is not throttled',
      ...cannot,
    },
    strangers: {
      unknown: [server('web8', { host: '10.9.9.8' }), server('web9', { host: '10.9.9.9' })],
      ambiguous: [server('other')],
    },
    fault: async () => {
      renameSync(haproxy.socket, gone)
      return comesBack
    },
    denied: () => ({ balancer: buildFor(operator.socket)() }),
    port: haproxy.port,
    truth: async () => {
      const status = await haproxy.status('web', 'web1')
      return status.startsWith('MAINT') ? 'maintenance' : status.startsWith('DRAIN') ? 'draining' : 'in'
    },
    operatorTakesOut: async () => {
      await haproxy.command('set server web/web1 state maint')
    },
    reload: haproxy.reload,
    reset: async () => {
      await comesBack()
      await reset()
    },
    stop: async () => {
      await operator.stop()
      await stop()
    },
  }
}
