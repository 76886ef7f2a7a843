import { describe, expect, it } from 'vitest'
import { selectionOf, sharingOf } from '../../src/commands/shard.ts'
import { type Request, readRequest } from '../../src/inputs.ts'
import { manifest } from '../plan/manifests.ts'

const m = manifest({ servers: ['a', 'b', 'c', 'd', 'e'].map(name => ({ name })) })
const env = { GITHUB_ACTIONS: 'true', GITHUB_REPOSITORY: 'octo/shop', GITHUB_RUN_ID: '4711', GITHUB_RUN_ATTEMPT: '1' }
const request = (inputs: Readonly<Record<string, string>>, more: Readonly<Record<string, string>> = {}): Request =>
  readRequest(
    { ...env, ...more, ...Object.fromEntries(Object.entries(inputs).map(([k, v]) => [`INPUT_${k.toUpperCase()}`, v])) },
    [],
    '/',
  )
const sharing = (
  inputs: Readonly<Record<string, string>>,
  more?: Readonly<Record<string, string>>,
  of = m,
  build = 'one',
) => {
  const asked = request(inputs, more)
  return sharingOf(asked, of, selectionOf(asked, of), build)
}

describe('the servers of a shard', () => {
  const own = (inputs: Readonly<Record<string, string>>) => selectionOf(request(inputs), m).own.map(s => s.name)
  it('are every n-th of the selection', () => {
    expect(own({ shard: '2/3' })).toEqual(['b', 'e'])
    expect(own({ shard: '2/2', servers: '!b' })).toEqual(['c', 'e'])
    expect(own({ shard: '1/1' })).toEqual(['a', 'b', 'c', 'd', 'e'])
    expect(own({ shard: '2/2', servers: '[]' })).toEqual([])
  })
  it('are never none: more shards than servers are refused', () => {
    expect(() => own({ shard: '1/6' })).toThrow('5 servers are selected, and this is one of 6 shards')
    expect(() => own({ shard: '2/2', servers: 'c' })).toThrow('1 server is selected, and this is one of 2 shards')
  })
})

describe('the lock of a run’s shards', () => {
  it('is one for all of them, and each is a member of its own', () => {
    const [one, two] = [sharing({ shard: '1/2' }), sharing({ shard: '2/2' })]
    expect(one?.run).toMatch(/^run-[0-9a-f]{40}$/)
    expect(two).toEqual({ ...one, member: 2 })
  })
  it('is another for whoever does not agree: another run, attempt, repository, environment, selection or wish', () => {
    const other = manifest({ servers: m.servers, environment: 'staging' })
    const all = [
      sharing({ shard: '1/2' }),
      sharing({ shard: '1/3' }),
      sharing({ shard: '1/2' }, { GITHUB_RUN_ID: '4712' }),
      sharing({ shard: '1/2' }, { GITHUB_RUN_ATTEMPT: '2' }),
      sharing({ shard: '1/2' }, { GITHUB_REPOSITORY: 'octo/fork' }),
      sharing({ shard: '1/2' }, {}, other),
      sharing({ shard: '1/2', servers: '!a' }),
      sharing({ shard: '1/2', strategy: 'rolling' }),
      sharing({ shard: '1/2', 'max-parallelism': '9' }),
      sharing({ shard: '1/2', migrate: 'false' }),
      sharing({ shard: '1/2', command: 'rollback', release: '0123456789ab-01234567' }),
    ].map(s => s?.run)
    expect(new Set(all).size).toBe(all.length)
  })
  it('is another for another build, and tells that nothing else differs', () => {
    const [one, two] = [sharing({ shard: '1/2' }), sharing({ shard: '2/2' }, {}, m, 'two')]
    expect(two?.run).not.toBe(one?.run)
    expect(one?.shards).toEqual({ of: two?.shards.of, build: 'one' })
    expect(two?.shards.build).toBe('two')
    expect(sharing({ shard: '1/2' }, { GITHUB_RUN_ATTEMPT: '2' })?.shards.of).not.toBe(one?.shards.of)
  })
  it('is a plain one for 1/1 and without a shard, and none outside of a workflow run', () => {
    expect([sharing({}), sharing({ shard: '1/1' })]).toEqual([null, null])
    expect(() => sharing({ shard: '1/2' }, { GITHUB_RUN_ID: '' })).toThrow(/GITHUB_RUN_ID is not set/)
  })
})

describe('the input shard', () => {
  it.each(['recover', 'status', 'validate', 'preview', 'report'])('is refused for %s', command =>
    expect(() => request({ command, shard: '1/2' })).toThrow(`the command here is ${command}`),
  )
})
