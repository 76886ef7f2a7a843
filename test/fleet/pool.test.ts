import { describe, expect, it } from 'vitest'
import { pool } from '../../src/fleet/pool.ts'
import { forever } from './reach.ts'

interface Thing {
  gone: boolean
  closed: boolean
}
const things = () =>
  pool<Thing>({
    isGone: t => t.gone,
    close: t => {
      t.closed = true
    },
  })
const thing = (): Thing => ({ gone: false, closed: false })

/** An `open` whose end the test decides. */
function deferred() {
  const { promise, resolve, reject } = Promise.withResolvers<Thing>()
  const seen: { signal?: AbortSignal; calls: number } = { calls: 0 }
  const open = (signal: AbortSignal) => {
    seen.calls++
    seen.signal = signal
    signal.addEventListener('abort', () => reject(signal.reason))
    return promise
  }
  return { open, resolve, reject, seen }
}

describe('a pool', () => {
  it('opens once for all who ask at the same time, and for those who ask later', async () => {
    const { open, resolve, seen } = deferred()
    const shared = things()
    const asked = [shared.get('a', open, forever), shared.get('a', open, forever)]
    const it = thing()
    resolve(it)
    expect(await Promise.all(asked)).toEqual([it, it])
    expect(await shared.get('a', open, forever)).toBe(it)
    expect(seen.calls).toBe(1)
  })

  it('opens again what is gone, and after a failure', async () => {
    const shared = things()
    const first = await shared.get('a', async () => thing(), forever)
    first.gone = true
    const second = await shared.get('a', async () => thing(), forever)
    expect(second).not.toBe(first)
    await expect(
      shared.get(
        'b',
        async () => {
          throw new Error('refused')
        },
        forever,
      ),
    ).rejects.toThrow('refused')
    expect(await shared.get('b', async () => thing(), forever)).toMatchObject({ gone: false })
  })

  it('lets one who gives up go, and opens on for the others', async () => {
    const { open, resolve, seen } = deferred()
    const shared = things()
    const impatient = new AbortController()
    const left = shared.get('a', open, impatient.signal)
    const stays = shared.get('a', open, forever)
    impatient.abort(new Error('cancelled'))
    await expect(left).rejects.toThrow('cancelled')
    expect(seen.signal?.aborted).toBe(false)
    resolve(thing())
    expect(await stays).toMatchObject({ closed: false })
  })

  it('ends an attempt that nobody wants any more, and starts anew for the next', async () => {
    const { open, seen } = deferred()
    const shared = things()
    const impatient = new AbortController()
    const left = shared.get('a', open, impatient.signal)
    impatient.abort(new Error('cancelled'))
    const next = shared.get('a', async () => thing(), forever)
    await expect(left).rejects.toThrow('cancelled')
    expect(seen.signal?.aborted).toBe(true)
    expect(await next).toMatchObject({ closed: false })
  })

  it('closes what came of an attempt that nobody wanted any more', async () => {
    const { promise, resolve } = Promise.withResolvers<Thing>()
    const shared = things()
    const impatient = new AbortController()
    const left = shared.get('a', () => promise, impatient.signal)
    impatient.abort(new Error('cancelled'))
    await expect(left).rejects.toThrow('cancelled')
    const late = thing()
    resolve(late)
    await promise
    await Promise.resolve()
    expect(late.closed).toBe(true)
  })

  it('closes everything, and ends attempts under way', async () => {
    const { open } = deferred()
    const shared = things()
    const open1 = await shared.get('a', async () => thing(), forever)
    const under = shared.get('b', open, forever)
    shared.clear(new Error('over'))
    expect(open1.closed).toBe(true)
    await expect(under).rejects.toThrow('over')
  })
})
