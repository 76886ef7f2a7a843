/** What every provider has to keep, against the real balancer. A provider's test file hands in how it is set up. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { LoadBalancer, Rotation } from '../../src/balancers/balancer.ts'
import { bringBack, takeOut } from '../../src/balancers/controller.ts'
import type { ControllerDeps, Place, PlaceSettings } from '../../src/balancers/place.ts'
import { systemClock } from '../../src/clock.ts'
import { waitUntil } from '../support/wait-until.ts'
import { optional, type Scenario, type Subject } from './contract-subject.ts'
import { keepsTheContractInTrouble } from './contract-trouble.ts'
import { get } from './gated-app.ts'

export type { Subject } from './contract-subject.ts'

/** What a scenario works with, made anew for each test. */
export interface Stage {
  readonly subject: Subject
  readonly balancer: LoadBalancer
  readonly signal: AbortSignal
  readonly deps: ControllerDeps
  /** Waits on the subject's clock until `read` of web1 says one of these. */
  becomes(receipt: Place['receipt'], ...states: Rotation['state'][]): Promise<void>
  placeOf(more?: Partial<PlaceSettings>, balancer?: LoadBalancer): Promise<Place>
  /** Sends requests until one is held at web1. */
  holdOne(): Promise<Promise<string>[]>
}

/** A test that runs, or passes with the reason that the subject gives: never a silent skip. */
export type Scenarios = (title: string, needs: readonly Scenario[], test: (stage: Stage) => Promise<void>) => void

const { signal } = new AbortController()

function stageOf(subject: Subject): Stage {
  const balancer = subject.build()
  const clock = subject.clock ?? systemClock
  const timeouts = subject.timeouts ?? { drain: 20, add: 20 }
  const [app1, app2] = subject.apps
  const settings: PlaceSettings = {
    waitAfterRemoving: 0,
    waitAfterAdding: 0,
    drainTimeout: timeouts.drain,
    addTimeout: timeouts.add,
    onDrainTimeout: 'fail',
  }
  return {
    subject,
    balancer,
    signal,
    deps: { clock, signal, onProgress: () => undefined },
    becomes: (receipt, ...states) =>
      waitUntil(`web1 becomes ${states.join(' or ')}`, async () => {
        if (states.includes((await balancer.read(receipt, signal)).state)) return true
        await clock.sleep(clock === systemClock ? 20 : 1000, signal)
        return false
      }).then(() => undefined),
    placeOf: async (more = {}, by = balancer) => ({
      balancer: by,
      receipt: await by.receipt(subject.servers[0], signal),
      settings: { ...settings, ...more },
    }),
    async holdOne() {
      const held: Promise<string>[] = []
      await waitUntil('a request is held at web1', () => {
        if (app1.held() === 0) held.push(get(subject.port, '/hold').catch(error => `failed: ${error}`))
        return app1.held() > 0
      })
      app2.release()
      return held
    },
  }
}

export function keepsTheContract(name: string, start: () => Promise<Subject>): void {
  describe(`${name}, as every provider,`, () => {
    let subject: Subject
    beforeAll(async () => {
      subject = await start()
    })
    beforeEach(() => subject.reset())
    afterAll(() => subject?.stop())

    const scenario: Scenarios = (title, needs, test) =>
      it(title, async context => {
        const why = needs.flatMap(need => subject.cannot[need] ?? [])
        for (const text of why) await context.annotate(`cannot be here: ${text}`)
        if (why.length === 0) await test(stageOf(subject))
      })

    it('says why, where a scenario cannot exist for it', () => {
      for (const [key, why] of Object.entries(subject.cannot)) {
        expect(optional).toContain(key)
        expect(why.split(' ').length, key).toBeGreaterThan(2)
      }
    })
    inRotation(scenario)
    whileDraining(scenario)
    keepsTheContractInTrouble(scenario)
  })
}

function inRotation(scenario: Scenarios): void {
  scenario('tells in preflight who serves, and changes nothing', [], async ({ subject, balancer }) => {
    const report = await balancer.preflight(subject.servers, signal)
    expect(report.rotation).toEqual({ web1: { state: 'serving' }, web2: { state: 'serving' } })
    expect(await subject.truth()).toBe('in')
  })

  scenario('takes a server out, sends it nothing more, and brings it back', [], async ({ subject, placeOf, deps }) => {
    const place = await placeOf()
    expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
    const [app1] = subject.apps
    const before = app1.served()
    for (let i = 0; i < 20; i++) expect(await get(subject.port)).toBe('web2')
    expect(app1.served()).toBe(before)
    expect(await bringBack([place], deps)).toMatchObject({ result: 'serving' })
    await waitUntil('web1 is sent a request', async () => (await get(subject.port)) === 'web1')
  })

  scenario('removes and restores as often as it is told', [], async ({ subject, balancer, placeOf, becomes }) => {
    const { receipt } = await placeOf()
    await balancer.remove(receipt, signal)
    await balancer.remove(receipt, signal)
    await becomes(receipt, 'out', 'draining')
    await balancer.restore(receipt, signal)
    await balancer.restore(receipt, signal)
    await becomes(receipt, 'serving')
    expect(await subject.truth()).toBe('in')
  })

  scenario(
    'restores from a receipt that another process wrote',
    [],
    async ({ subject, balancer, placeOf, becomes }) => {
      const { receipt } = await placeOf()
      await balancer.remove(receipt, signal)
      const another = subject.build()
      await another.restore(JSON.parse(JSON.stringify(receipt)), signal)
      another.close?.()
      await becomes(receipt, 'serving')
    },
  )

  scenario('restores a server that was never removed', [], async ({ subject, balancer, placeOf, becomes }) => {
    const { receipt } = await placeOf()
    await balancer.restore(receipt, signal)
    await becomes(receipt, 'serving')
    expect(await subject.truth()).toBe('in')
  })

  scenario('restores a server that is drained, and one after insisting', [], async stage => {
    const { balancer, placeOf, becomes, deps } = stage
    const place = await placeOf()
    expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
    await balancer.restore(place.receipt, signal)
    await becomes(place.receipt, 'serving')
    await balancer.remove(place.receipt, signal)
    await balancer.insist?.(place.receipt, signal)
    await becomes(place.receipt, 'out', 'draining')
    await balancer.restore(place.receipt, signal)
    await becomes(place.receipt, 'serving')
  })

  scenario('does not take a server for serving that its health check refuses', ['unhealthy'], async stage => {
    const { subject, balancer, placeOf, becomes } = stage
    const [app1] = subject.apps
    const { receipt } = await placeOf()
    await balancer.remove(receipt, signal)
    await becomes(receipt, 'out', 'draining')
    app1.health(500)
    await balancer.restore(receipt, signal)
    await becomes(receipt, 'unhealthy', 'warming')
    app1.health(200)
    await becomes(receipt, 'serving')
  })

  scenario('sees that the removal was undone behind its back', [], async ({ subject, placeOf, deps, becomes }) => {
    const place = await placeOf()
    await takeOut([place], deps)
    await subject.reload()
    await becomes(place.receipt, 'serving')
  })

  scenario('keeps a server an operator took out, out', ['operator'], async ({ subject, balancer, placeOf }) => {
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

  scenario('says by hand what to do, naming the server', [], async ({ balancer, placeOf }) => {
    const { receipt } = await placeOf()
    expect(balancer.byHand(receipt)).toMatch(/web1|127\.0\.0\.1/)
  })
}

function whileDraining(scenario: Scenarios): void {
  const letGo = ({ apps }: Subject) => {
    for (const app of apps) app.release()
  }

  scenario('is drained only when nothing is in flight', ['in flight'], async stage => {
    const { subject, balancer, placeOf, holdOne, deps } = stage
    const place = await placeOf()
    const held = await holdOne()
    await balancer.remove(place.receipt, signal)
    for (let i = 0; i < 5; i++) expect((await balancer.read(place.receipt, signal)).state).toBe('draining')
    letGo(subject)
    expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
    for (const answer of await Promise.all(held)) expect(answer).toMatch(/^web/)
  })

  scenario('brings a server back while a request to it is still in flight', [], async stage => {
    const { subject, balancer, placeOf, holdOne, becomes } = stage
    const { receipt } = await placeOf()
    const held = await holdOne()
    await balancer.remove(receipt, signal)
    await balancer.restore(receipt, signal)
    await becomes(receipt, 'serving')
    letGo(subject)
    await Promise.all(held)
  })

  scenario('says that a drain is stuck, cuts nothing and is restored', ['in flight'], async stage => {
    const { subject, placeOf, holdOne, deps } = stage
    const held = await holdOne()
    const result = await takeOut([await placeOf({ drainTimeout: 1 })], deps)
    expect(result).toMatchObject({ result: 'failed', back: { result: 'serving' } })
    if (result.result === 'failed') expect(result.error.message).toMatch(/old connection/)
    letGo(subject)
    for (const answer of await Promise.all(held)) expect(answer).toMatch(/^web/)
  })

  scenario('goes on with old connections where the manifest says so, and cuts none', ['in flight'], async stage => {
    const { subject, placeOf, holdOne, deps } = stage
    const held = await holdOne()
    const place = await placeOf({ drainTimeout: 1, onDrainTimeout: 'continue' })
    const result = await takeOut([place], deps)
    expect(result).toMatchObject({ result: 'drained' })
    expect(result.result === 'drained' && result.left[place.balancer.name]).not.toBe(0)
    letGo(subject)
    for (const answer of await Promise.all(held)) expect(answer).toMatch(/^web/)
  })

  scenario('cuts old connections by force, or says that it cannot', ['in flight'], async stage => {
    const { subject, balancer, placeOf, holdOne, deps } = stage
    const held = await holdOne()
    const result = await takeOut([await placeOf({ drainTimeout: 1, onDrainTimeout: 'force' })], deps)
    if (balancer.force === undefined) {
      expect(result).toMatchObject({ result: 'failed' })
      if (result.result === 'failed') expect(result.error.message).toMatch(/cannot cut/)
    } else expect(result).toMatchObject({ result: 'drained', left: { [balancer.name]: 0 } })
    letGo(subject)
    await Promise.all(held)
  })
}
