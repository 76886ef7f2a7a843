/** Manifests for tests of pure code, made by the real schema from what a file would hold. */
import type { Manifest, Server } from '../../src/manifest/manifest.ts'
import { manifestSchema } from '../../src/manifest/schema.ts'

export interface Shape {
  readonly servers: readonly { readonly name: string; readonly roles?: readonly string[] }[]
  readonly environment?: string | null
  /** Other keys, as the YAML reader hands them over: scalars are text. */
  readonly keys?: Readonly<Record<string, unknown>>
  readonly written?: readonly string[]
}

const server = (s: Shape['servers'][number]): Server => ({
  name: s.name,
  host: `${s.name}.example.com`,
  user: 'deploy',
  port: 22,
  roles: s.roles ?? [],
  id: undefined,
  hostKeys: [],
  env: {},
  bastions: [],
  connectTimeout: 10,
  keepalive: 15,
})

export function manifest(shape: Shape): Manifest {
  const keys = manifestSchema.parse({ application: 'storefront', ...shape.keys })
  const { servers: _servers, load_balancers, ...rest } = keys
  return {
    ...rest,
    load_balancers: load_balancers as unknown as Manifest['load_balancers'],
    file: 'deploy.yml',
    environment: shape.environment ?? null,
    environments: [],
    written: new Set(shape.written ?? []),
    servers: shape.servers.map(server),
  }
}

export const haproxy = (roles: readonly string[] = [], more: Readonly<Record<string, unknown>> = {}) => ({
  provider: 'haproxy',
  backends: 'app',
  hosts: ['10.0.0.2'],
  roles: [...roles],
  ...more,
})
