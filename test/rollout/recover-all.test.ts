import { expect, it } from 'vitest'
import { LockLostError } from '../../src/errors.ts'
import { type Recovery, recoverAll } from '../../src/rollout/recover-all.ts'
import type { Session } from '../../src/rollout/session.ts'
import { haproxy, manifest } from '../plan/manifests.ts'
import { fakeClock } from '../support/fake-clock.ts'

const m = manifest({
  servers: [{ name: 'web1' }, { name: 'web2' }],
  keys: { load_balancers: { edge: haproxy() } },
})
const entries = [
  {
    at: 0,
    n: 1,
    type: 'opened',
    deployment: 't',
    run: null,
    release: null,
    previous: null,
    strategy: '',
    commit: null,
  },
  { at: 0, n: 1, type: 'prepared' },
]

it('ends when the last server has ended, also when another lost its lock: whoever called gives the locks back then', async () => {
  const order: string[] = []
  const session = (name: string) =>
    ({
      server: m.servers.find(s => s.name === name),
      site: { application: 'storefront', environment: null, releasePath: null },
      owner: { token: 'a'.repeat(16) },
      probe: { current: null, journal: { entries } },
      signal: new AbortController().signal,
      assertHeld() {},
      async run() {
        for (let i = 0; i < 20; i++) await new Promise(resolve => setImmediate(resolve))
        order.push(`${name} is decided`)
        return { ended: 'exit', code: 0, stdout: '', stderr: '' }
      },
      reread: async () => {},
    }) as unknown as Session
  const recovery = {
    manifest: m,
    emit: () => {},
    clock: fakeClock(),
    cancel: new AbortController().signal,
    leftOutToo: true,
    run: null,
    actor: null,
    workerFor(of: Session) {
      if (of.server.name === 'web1') throw new LockLostError('the lock on web1 is lost')
      return { worker: { ...of, earlierReceipts: {} }, plan: { servers: [{ name: 'web2', balancers: [] }] } }
    },
    openBalancers: () => new Map(),
  } as unknown as Recovery
  const all = recoverAll(recovery, new Map(['web1', 'web2'].map(name => [name, session(name)])))
  await expect(all.finally(() => order.push('the locks are given back'))).rejects.toThrow(LockLostError)
  expect(order).toEqual(['web2 is decided', 'the locks are given back'])
})
