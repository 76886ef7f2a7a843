/** The part of the contract that is about balancers that refuse, forget, lie, vanish or are written by two at once. */

import { expect } from 'vitest'
import { unthrottled } from '../../src/balancers/backing-off.ts'
import { bringBack, confirmOut, takeOut } from '../../src/balancers/controller.ts'
import type { Place } from '../../src/balancers/place.ts'
import { BalancerError, messageOf } from '../../src/errors.ts'
import { waitUntil } from '../support/wait-until.ts'
import type { Scenarios } from './contract.ts'

const caught = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  )

/** All that a person could be shown of an error, causes included. */
const shown = (error: unknown): string =>
  error instanceof Error
    ? [error.message, error.stack, 'hint' in error ? error.hint : '', shown(error.cause)].join('\n')
    : JSON.stringify(error ?? null)

/** The place, with something that happens just after `remove` has been answered. */
const after = (place: Place, what: 'remove' | 'read', work: () => Promise<void>): Place => ({
  ...place,
  balancer: {
    ...place.balancer,
    [what]: async (...args: Parameters<typeof place.balancer.read>) => {
      try {
        return await place.balancer[what](...args)
      } finally {
        await work()
      }
    },
  },
})

export function keepsTheContractInTrouble(scenario: Scenarios): void {
  scenario('names every server that it does not know, at once', ['unknown member'], async ({ subject, signal }) => {
    const { unknown } = subject.strangers
    const balancer = subject.build(unknown)
    const error = await caught(balancer.preflight(unknown, signal))
    balancer.close?.()
    expect(error).toBeInstanceOf(BalancerError)
    expect(unknown.length).toBeGreaterThan(1)
    for (const server of unknown) expect(messageOf(error)).toContain(server.name)
    expect((error as BalancerError).hint).toBeDefined()
  })

  scenario('names servers that could be several members', ['ambiguous member'], async ({ subject, signal }) => {
    const { ambiguous } = subject.strangers
    const balancer = subject.build(ambiguous)
    const error = await caught(balancer.preflight(ambiguous, signal))
    balancer.close?.()
    expect(error).toBeInstanceOf(BalancerError)
    for (const server of ambiguous) expect(messageOf(error)).toContain(server.name)
  })

  scenario('does not believe a write that was answered with success and not done', ['silent no-op'], async stage => {
    const { subject, placeOf, deps } = stage
    const place = await placeOf({ drainTimeout: 2 })
    const end = await subject.fault('silent no-op')
    const result = await takeOut([place], deps)
    expect(result).toMatchObject({ result: 'failed' })
    expect(await subject.truth()).toBe('in')
    await end()
    const out = await placeOf()
    expect(await takeOut([out], deps)).toMatchObject({ result: 'drained' })
    const again = await subject.fault('silent no-op')
    const brief = { ...out, settings: { ...out.settings, addTimeout: 2, drainTimeout: 2 } }
    expect((await bringBack([brief], deps)).result).not.toBe('serving')
    await again()
    expect(await bringBack([out], deps)).toMatchObject({ result: 'serving' })
  })

  scenario('says that it is throttled, and goes on when it no longer is', ['throttling'], async stage => {
    const { subject, balancer, placeOf, deps, signal } = stage
    const place = await placeOf()
    const end = await subject.fault('throttling')
    for (const call of [
      () => subject.build().preflight(subject.servers, signal),
      () => balancer.remove(place.receipt, signal),
      () => balancer.read(place.receipt, signal),
    ]) {
      const error = await caught(call())
      expect(error).toBeInstanceOf(BalancerError)
      expect((error as BalancerError).retryAfterMs, messageOf(error)).toBeGreaterThanOrEqual(0)
    }
    await end()
    let over: (() => Promise<void>) | undefined
    let reads = 0
    const busy = after(
      after(place, 'remove', async () => {
        over ??= await subject.fault('throttling')
      }),
      'read',
      async () => {
        if (++reads === 3) await over?.()
      },
    )
    expect(await takeOut([busy], deps)).toMatchObject({ result: 'drained' })
    expect(reads).toBeGreaterThan(5)
    expect(await bringBack([place], deps)).toMatchObject({ result: 'serving' })
  })

  scenario('says what is missing when its credentials are refused', ['refused credentials'], async stage => {
    const { subject, placeOf, signal } = stage
    const { receipt } = await placeOf()
    const { balancer, secret } = subject.denied()
    const error =
      (await caught(balancer.preflight(subject.servers, signal))) ?? (await caught(balancer.remove(receipt, signal)))
    balancer.close?.()
    expect(error).toBeInstanceOf(BalancerError)
    expect((error as BalancerError).hint).toBeDefined()
    if (secret !== undefined) expect(shown(error)).not.toContain(secret)
    expect(await subject.truth()).toBe('in')
  })

  scenario('is not drained while it cannot be asked, and restored when it can', ['API gone'], async stage => {
    const { subject, placeOf, deps } = stage
    const place = await placeOf({ drainTimeout: 2, addTimeout: 2 })
    let back: (() => Promise<void>) | undefined
    const cut = after(place, 'remove', async () => {
      back ??= await subject.fault('API gone')
    })
    const result = await takeOut([cut], deps)
    expect(result).toMatchObject({ result: 'failed', back: { result: 'unknown' } })
    expect(await confirmOut([place], deps)).toMatchObject({ out: false })
    await back?.()
    const { settings } = await placeOf()
    expect(await bringBack([{ ...place, settings }], deps)).toMatchObject({ result: 'serving' })
    expect(await subject.truth()).toBe('in')
  })

  scenario('goes on when it can be asked again half-way', ['API gone'], async stage => {
    const { subject, placeOf, deps } = stage
    const place = await placeOf()
    let back: (() => Promise<void>) | undefined
    let reads = 0
    const flaky = after(
      after(place, 'remove', async () => {
        back ??= await subject.fault('API gone')
      }),
      'read',
      async () => {
        if (++reads === 2) await back?.()
      },
    )
    expect(await takeOut([flaky], deps)).toMatchObject({ result: 'drained' })
    expect(await bringBack([place], deps)).toMatchObject({ result: 'serving' })
  })

  scenario('loses nothing that another process writes at the same time', [], async stage => {
    const { subject, signal, deps } = stage
    const [one, two] = [subject.build(), subject.build()]
    const work = [
      { balancer: one, receipt: await one.receipt(subject.servers[0], signal) },
      { balancer: two, receipt: await two.receipt(subject.servers[1], signal) },
    ] as const
    const writes = async (what: 'remove' | 'restore', wanted: readonly string[]) => {
      const told = await Promise.allSettled(work.map(w => w.balancer[what](w.receipt, signal)))
      // An error that says so is honest; the controller writes again. What was answered with success has to be there.
      for (const [i, { balancer, receipt }] of work.entries()) {
        const result = told[i]
        if (result?.status === 'rejected') {
          expect(result.reason).toBeInstanceOf(BalancerError)
          await balancer[what](receipt, signal)
        }
      }
      for (const { balancer, receipt } of work)
        await waitUntil(`${receipt.server} is ${wanted.join(' or ')}`, async () => {
          const { state } = await unthrottled(deps, 5000, () => balancer.read(receipt, signal))
          if (wanted.includes(state)) return true
          await deps.clock.sleep(subject.clock ? 1000 : 20, signal)
          return false
        })
    }
    for (let round = 0; round < 3; round++) {
      await writes('remove', ['out', 'draining'])
      await writes('restore', ['serving'])
    }
    for (const { balancer } of work) balancer.close?.()
    expect(await subject.truth()).toBe('in')
  })
}
