import { expect, it } from 'vitest'
import { oneAtATime } from '../../src/balancers/one-at-a-time.ts'

const { signal } = new AbortController()
const tick = () => new Promise<void>(resolve => setImmediate(resolve))

it('runs what has the same key one after the other, in order, and the rest at once', async () => {
  const log: string[] = []
  const work = (name: string) => async () => {
    log.push(`${name} begins`)
    await tick()
    log.push(`${name} ends`)
    return name
  }
  const results = await Promise.all([
    oneAtATime('a', signal, work('a1')),
    oneAtATime('a', signal, work('a2')),
    oneAtATime('b', signal, work('b1')),
  ])
  expect(results).toEqual(['a1', 'a2', 'b1'])
  expect(log.filter(l => l.startsWith('a'))).toEqual(['a1 begins', 'a1 ends', 'a2 begins', 'a2 ends'])
  expect(log.indexOf('b1 begins')).toBeLessThan(log.indexOf('a1 ends'))
})

it('goes on after a failure, and tells it to its own caller alone', async () => {
  const first = oneAtATime('c', signal, () => Promise.reject(new Error('no')))
  const second = oneAtATime('c', signal, async () => 'yes')
  await expect(first).rejects.toThrow('no')
  expect(await second).toBe('yes')
})

it('does not begin what was cancelled while it stood in line', async () => {
  const cancel = new AbortController()
  let begun = false
  const first = oneAtATime('d', signal, async () => {
    cancel.abort(new Error('cancelled'))
    await tick()
  })
  const second = oneAtATime('d', cancel.signal, async () => {
    begun = true
  })
  await first
  await expect(second).rejects.toThrow('cancelled')
  expect(begun).toBe(false)
})
