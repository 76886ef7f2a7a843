import { expect, it } from 'vitest'
import { type BalancerDeps, buildBalancers } from '../../src/balancers/providers.ts'
import { NotSupportedError } from '../../src/errors.ts'
import { commandSettings, haproxySettings } from './fixtures.ts'

const deps: BalancerDeps = {
  servers: [],
  connect: () => Promise.reject(new Error('building opens nothing')),
  resolve: text => text,
  shell: 'sh',
  variables: () => ({ env: {}, secrets: {} }),
  runnerEnv: {},
  onOutput: () => undefined,
}

it('builds each balancer of the manifest under its name, in order', () => {
  const scripts = { remove: 'true', drained: 'true', add: 'true', serving: 'true' }
  const built = buildBalancers(
    { load_balancers: { inner: commandSettings(scripts), edge: haproxySettings({ address: 'tcp://127.0.0.1:1' }) } },
    deps,
  )
  expect([...built.values()].map(b => b.name)).toEqual(['inner', 'edge'])
})

it('says which providers there are instead of one that is not there yet', () => {
  const hetzner = {
    ...commandSettings({ remove: '', drained: '', add: '', serving: '' }),
    provider: 'hetzner',
    load_balancer: '1',
  } as const
  expect(() => buildBalancers({ load_balancers: { edge: hetzner } }, deps)).toThrow(NotSupportedError)
  expect(() => buildBalancers({ load_balancers: { edge: hetzner } }, deps)).toThrow(/hetzner.*haproxy, command/)
})
