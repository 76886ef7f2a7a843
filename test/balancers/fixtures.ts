/** Settings and servers as the manifest would give them. */
import type { BalancerOf, Server } from '../../src/manifest/manifest.ts'

export const server = (name: string, more: Partial<Server> = {}): Server => ({
  name,
  user: 'deploy',
  host: '127.0.0.1',
  port: 22,
  roles: ['web'],
  id: undefined,
  hostKeys: [],
  env: {},
  bastions: [],
  connectTimeout: 10,
  keepalive: 15,
  ...more,
})

const common = { on_drain_timeout: 'continue' } as const

export const haproxySettings = (more: Partial<BalancerOf<'haproxy'>> = {}): BalancerOf<'haproxy'> => ({
  ...common,
  roles: [],
  provider: 'haproxy',
  backends: ['web'],
  hosts: [],
  socket: '/run/haproxy/admin.sock',
  ...more,
})

export const commandSettings = (
  scripts: Pick<BalancerOf<'command'>, 'remove' | 'drained' | 'add' | 'serving'>,
  on: 'runner' | 'server' = 'runner',
): BalancerOf<'command'> => ({ ...common, roles: [], provider: 'command', on, ...scripts })
