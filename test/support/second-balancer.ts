/** A second HAProxy before the servers of a site, on the same host as the first: the manifest's balancers `edge` and `inner`. */
import { type Haproxy, type HaproxyOptions, startHaproxy } from './haproxy.ts'
import type { Site } from './site.ts'

type Settings = Readonly<Record<string, unknown>>

export interface SecondBalancer {
  readonly haproxy: Haproxy
  readonly url: string
  /** The manifest's block `load_balancers` with both; further settings for each. */
  readonly both: (edge?: Settings, inner?: Settings) => { readonly load_balancers: Settings }
  /** Where it has each server, as an operator or we set it. */
  readonly asSet: () => ReturnType<Haproxy['asSet']>
}

export async function secondBalancer(at: Site, options: Partial<HaproxyOptions> = {}): Promise<SecondBalancer> {
  const servers = at.servers.map(s => ({ name: s.name, port: s.appPort }))
  const haproxy = await startHaproxy({ backends: { other: { servers } }, ...options })
  return {
    haproxy,
    url: `http://127.0.0.1:${haproxy.port}/`,
    both: (edge = {}, inner = {}) => ({
      load_balancers: {
        edge: { ...at.edge, ...edge },
        inner: { ...at.edge, backends: ['other'], socket: haproxy.socket, ...inner },
      },
    }),
    asSet: () => haproxy.asSet('other'),
  }
}
