import { expect, it } from 'vitest'
import { type BalancerDeps, buildBalancers, providersBuilt } from '../../src/balancers/providers.ts'
import { NotSupportedError } from '../../src/errors.ts'
import type { Balancer } from '../../src/manifest/manifest.ts'
import { providerNames } from '../../src/manifest/schema.ts'
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

it('builds every provider that a manifest may name', () => {
  expect([...providersBuilt].sort()).toEqual([...providerNames].sort())
})

it('says which providers there are instead of one that is not there yet', () => {
  const vapour = { ...commandSettings({ remove: '', drained: '', add: '', serving: '' }), provider: 'vapour' }
  const build = () => buildBalancers({ load_balancers: { edge: vapour as unknown as Balancer } }, deps)
  expect(build).toThrow(NotSupportedError)
  expect(build).toThrow(/vapour.*haproxy, command/)
})
