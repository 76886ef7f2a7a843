/** A fleet of the tests' own SSH servers, and time for its scripts. */
import { vi } from 'vitest'
import { type Access, type Fleet, openFleet } from '../../src/fleet/fleet.ts'
import { parseKnownHosts } from '../../src/fleet/known-hosts.ts'
import { readPrivateKeys } from '../../src/fleet/private-keys.ts'
import type { Hop, Server } from '../../src/manifest/manifest.ts'
import type { Sshd } from '../support/sshd.ts'

/** Never aborted. */
export const forever = new AbortController().signal

export const hopTo = ({ user, host, port }: Sshd): Hop => ({ user, host, port })

/** `sshd` as a manifest would have it. */
export const serverAt = (sshd: Sshd, more: Partial<Server> = {}): Server => ({
  name: sshd.name,
  ...hopTo(sshd),
  roles: [],
  id: undefined,
  hostKeys: [],
  env: {},
  bastions: [],
  connectTimeout: 20,
  keepalive: 15,
  ...more,
})

/** A fleet that knows the keys of these servers, and lets in with their key. */
export function fleetOf(sshds: readonly Sshd[], more: Partial<Access> = {}): Fleet {
  return openFleet({
    keys: readPrivateKeys(sshds[0]!.privateKey, null),
    knownHosts: parseKnownHosts(sshds.map(s => s.knownHosts).join('')),
    strict: true,
    warn: text => {
      throw new Error(`nothing to warn of is expected: ${text}`)
    },
    ...more,
  })
}

/** What a promise is rejected with. */
export async function failure<E extends Error>(
  promise: Promise<unknown>,
  kind: new (...args: never[]) => E,
): Promise<E> {
  const error: unknown = await promise.then(
    value => {
      throw new Error(`a failure was expected, not ${JSON.stringify(value)}`)
    },
    (e: unknown) => e,
  )
  if (error instanceof kind) return error
  throw error
}

/** Runs `work`, in which the timer of just so many seconds fires when it says so and not before: a number that nobody else uses. */
export async function withTimeOf<T>(seconds: number, work: (timeIsUp: () => void) => Promise<T>): Promise<T> {
  const real = globalThis.setTimeout
  let fire: (() => void) | undefined
  const spy = vi.spyOn(globalThis, 'setTimeout')
  spy.mockImplementation(((then: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) => {
    if (ms !== seconds * 1000) return real(then, ms, ...args)
    fire = () => then(...args)
    return real(() => undefined, 0)
  }) as typeof setTimeout)
  try {
    return await work(() => {
      if (fire === undefined) throw new Error(`nobody has a time of ${seconds} s`)
      fire()
    })
  } finally {
    spy.mockRestore()
  }
}
