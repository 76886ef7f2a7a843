/** What every provider has to keep, against the real balancer. A provider's test file hands in how it is set up. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { LoadBalancer, Rotation } from '../../src/balancers/balancer.ts'
import { bringBack, takeOut } from '../../src/balancers/controller.ts'
import type { Place } from '../../src/balancers/place.ts'
import { systemClock } from '../../src/clock.ts'
import type { Server } from '../../src/manifest/manifest.ts'
import { waitUntil } from '../support/wait-until.ts'
import { type GatedApp, get } from './gated-app.ts'

export interface Subject {
  /** Two servers, web1 and web2, both serving when a test starts. */
  readonly servers: readonly [Server, Server]
  readonly apps: readonly [GatedApp, GatedApp]
  /** A balancer as a new process would build it. */
  build(): LoadBalancer
  /** Where clients go. */
  readonly port: number
  /** What the balancer itself shows of web1, whatever the provider says. */
  truth(): Promise<'in' | 'draining' | 'maintenance'>
  /** An operator's maintenance of web1. */
  operatorTakesOut(): Promise<void>
  /** Forgets what was set at run time, as a reload does. */
  reload(): Promise<void>
  /** Brings web1 into rotation whatever a test left. */
  reset(): Promise<void>
  stop(): Promise<void>
}

const signal = new AbortController().signal
const deps = { clock: systemClock, signal, onProgress: () => undefined }

const waits = {
  waitAfterRemoving: 0,
  waitAfterAdding: 0,
  drainTimeout: 20,
  addTimeout: 20,
  onDrainTimeout: 'fail',
} as const

export function keepsTheContract(name: string, start: () => Promise<Subject>): void {
  describe(`${name}, as every provider,`, () => {
    let subject: Subject
    let balancer: LoadBalancer
    beforeAll(async () => {
      subject = await start()
    })
    beforeEach(async () => {
      await subject.reset()
      balancer = subject.build()
    })
    afterAll(() => subject?.stop())

    const web1 = () => subject.servers[0]
    const [app1, app2] = [() => subject.apps[0], () => subject.apps[1]]
    const becomes = (receipt: Place['receipt'], ...states: Rotation['state'][]) =>
      waitUntil(`web1 becomes ${states.join(' or ')}`, async () =>
        states.includes((await balancer.read(receipt, signal)).state),
      )
    const placeOf = async (): Promise<Place> => ({
      balancer,
      receipt: await balancer.receipt(web1(), signal),
      settings: waits,
    })
    /** Sends requests until one is held at web1. */
    const holdOne = async () => {
      const held: Promise<string>[] = []
      await waitUntil('a request is held at web1', () => {
        if (app1().held() === 0) held.push(get(subject.port, '/hold'))
        return app1().held() > 0
      })
      app2().release()
      return held
    }

    it('tells in preflight who serves, and changes nothing', async () => {
      const report = await balancer.preflight(subject.servers, signal)
      expect(report.rotation).toEqual({ web1: { state: 'serving' }, web2: { state: 'serving' } })
      expect(await subject.truth()).toBe('in')
    })

    it('takes a server out, sends it nothing more, and brings it back', async () => {
      const place = await placeOf()
      expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
      const before = app1().served()
      for (let i = 0; i < 20; i++) expect(await get(subject.port)).toBe('web2')
      expect(app1().served()).toBe(before)
      expect(await bringBack([place], deps)).toEqual({ result: 'serving' })
      await waitUntil('web1 is sent a request', async () => (await get(subject.port)) === 'web1')
    })

    it('is drained only when nothing is in flight', async () => {
      const place = await placeOf()
      const held = await holdOne()
      await balancer.remove(place.receipt, signal)
      for (let i = 0; i < 5; i++) expect((await balancer.read(place.receipt, signal)).state).toBe('draining')
      app1().release()
      app2().release()
      expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
      for (const answer of await Promise.all(held)) expect(answer).toMatch(/^web/)
    })

    it('removes and restores as often as it is told', async () => {
      const { receipt } = await placeOf()
      await balancer.remove(receipt, signal)
      await balancer.remove(receipt, signal)
      await becomes(receipt, 'out', 'draining')
      await balancer.restore(receipt, signal)
      await balancer.restore(receipt, signal)
      await becomes(receipt, 'serving')
      expect(await subject.truth()).toBe('in')
    })

    it('brings a server back while a request to it is still in flight', async () => {
      const { receipt } = await placeOf()
      const held = await holdOne()
      await balancer.remove(receipt, signal)
      await balancer.restore(receipt, signal)
      await becomes(receipt, 'serving')
      app1().release()
      app2().release()
      await Promise.all(held)
    })

    it('restores from a receipt that another process wrote', async () => {
      const { receipt } = await placeOf()
      await balancer.remove(receipt, signal)
      balancer = subject.build()
      await balancer.restore(JSON.parse(JSON.stringify(receipt)), signal)
      await becomes(receipt, 'serving')
    })

    it('sees that the removal was undone behind its back', async () => {
      const place = await placeOf()
      await takeOut([place], deps)
      await subject.reload()
      await becomes(place.receipt, 'serving')
    })

    it('keeps a server an operator took out, out', async () => {
      await subject.operatorTakesOut()
      const report = await balancer.preflight(subject.servers, signal)
      expect(report.rotation['web1']?.state).toBe('out')
      const { receipt } = await placeOf()
      expect(receipt.before).toBe('out')
      await balancer.remove(receipt, signal)
      expect(await subject.truth()).toBe('maintenance')
      await balancer.restore(receipt, signal)
      expect(await subject.truth()).toBe('maintenance')
    })

    it('says by hand what to do, naming the server', async () => {
      const { receipt } = await placeOf()
      expect(balancer.byHand(receipt)).toContain('web1')
    })
  })
}
