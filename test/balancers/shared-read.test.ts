import { expect, it } from 'vitest'
import { sharedRead } from '../../src/balancers/shared-read.ts'

const { signal } = new AbortController()
const tools = () => {
  let now = 0
  const calls: { resolve: (n: number) => void; reject: (e: Error) => void; signal: AbortSignal }[] = []
  const read = sharedRead<number>(
    callSignal => new Promise((resolve, reject) => calls.push({ resolve, reject, signal: callSignal })),
    { now: () => now },
  )
  return {
    read,
    calls,
    later: (ms: number) => {
      now += ms
    },
  }
}

it('makes one call for all who ask at about the same time, and another one later', async () => {
  const { read, calls, later } = tools()
  const both = [read.get(signal), read.get(signal)]
  calls[0]?.resolve(1)
  expect(await Promise.all(both)).toEqual([1, 1])
  later(900)
  expect(await read.get(signal)).toBe(1)
  later(100)
  const again = read.get(signal)
  calls[1]?.resolve(2)
  expect(await again).toBe(2)
  expect(calls.length).toBe(2)
})

it('gives nobody what was asked before a write', async () => {
  const { read, calls } = tools()
  const before = read.get(signal)
  read.outdated()
  const after = read.get(signal)
  calls[1]?.resolve(2)
  calls[0]?.resolve(1)
  expect([await before, await after]).toEqual([1, 2])
  expect(await read.get(signal)).toBe(2)
})

it('keeps no failure', async () => {
  const { read, calls } = tools()
  const failed = read.get(signal)
  calls[0]?.reject(new Error('no'))
  await expect(failed).rejects.toThrow('no')
  const next = read.get(signal)
  calls[1]?.resolve(2)
  expect(await next).toBe(2)
})

it('lets one asker go without taking the answer from the others, and ends the call when closed', async () => {
  const { read, calls } = tools()
  const cancel = new AbortController()
  const gone = read.get(cancel.signal)
  const stays = read.get(signal)
  cancel.abort(new Error('cancelled'))
  await expect(gone).rejects.toThrow('cancelled')
  calls[0]?.resolve(1)
  expect(await stays).toBe(1)
  await expect(read.get(cancel.signal)).rejects.toThrow('cancelled')
  read.close()
  expect(calls[0]?.signal.aborted).toBe(true)
})
