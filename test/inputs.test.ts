import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { readRequest } from '../src/inputs.ts'

const directory = mkdtempSync(join(tmpdir(), 'inputs-'))
afterAll(() => rmSync(directory, { recursive: true }))
const read = (env: Record<string, string> = {}, ...argv: string[]) => readRequest(env, argv, '/work')

describe('inputs', () => {
  it('have their defaults when nothing is given', () =>
    expect(read()).toMatchObject({
      command: 'deploy',
      manifest: 'deploy.yml',
      environment: null,
      strategy: null,
      maxParallelism: null,
      migrate: null,
      servers: 'all',
      sshStrict: true,
      source: null,
    }))
  it('take auto and empty for "the manifest’s"', () =>
    expect(
      read({ INPUT_STRATEGY: 'auto', 'INPUT_MAX-PARALLELISM': '', INPUT_MIGRATE: 'auto', INPUT_ENVIRONMENT: ' ' }),
    ).toMatchObject({ strategy: null, maxParallelism: null, migrate: null, environment: null }))
  it('keep their hyphens in the variable’s name, as the runner does', () =>
    expect(read({ 'INPUT_MAX-PARALLELISM': '4' }).maxParallelism).toBe(4))
  it.each([
    [{ INPUT_STRATEGY: 'paralel' }, /strategy: "paralel" is not known/],
    [{ INPUT_COMMAND: 'deplyo' }, /command/],
    [{ INPUT_MIGRATE: 'yes' }, /migrate/],
    [{ 'INPUT_MAX-PARALLELISM': '0' }, /max-parallelism/],
    [{ 'INPUT_MAX-PARALLELISM': '3.5' }, /max-parallelism/],
    [{ 'INPUT_SSH-STRICT': 'no' }, /ssh-strict/],
    [{ INPUT_COMMENT: 'maybe' }, /comment/],
    [{ INPUT_SERVERS: ' ' }, /servers is empty/],
    [{ 'INPUT_PULL-REQUEST': '7' }, /pull-request is for the commands preview and plan; the command here is deploy/],
  ])('%j is refused', (env, message) => expect(() => read(env as unknown as Record<string, string>)).toThrow(message))
  it.each([
    ['2/8', 'deploy', { shard: { index: 2, of: 8 }, mostShards: null }],
    ['1/1', 'deploy', { shard: { index: 1, of: 1 }, mostShards: null }],
    ['3 / 4', 'plan', { shard: { index: 3, of: 4 }, mostShards: null }],
    ['8', 'plan', { shard: null, mostShards: 8 }],
    ['', 'plan', { shard: null, mostShards: null }],
  ])('the shard %j of %s is %j', (shard, command, read_) =>
    expect(read({ INPUT_SHARD: shard, INPUT_COMMAND: command })).toMatchObject(read_),
  )
  it.each([
    ...['0/8', '9/8', '1/0', '1/257', 'a/b', '1/2/3', '-1/2', '1.5/2', '8'].map(shard => ({ INPUT_SHARD: shard })),
    ...['../..', '0', '007', '1; rm -rf /', '12x', '1234567890', '-3', '1e3'].map(number => ({
      'INPUT_PULL-REQUEST': number,
      INPUT_COMMAND: 'preview',
    })),
  ])('%j is refused, with what to write', env =>
    expect(() => read(env as unknown as Record<string, string>)).toThrow(/^input (shard|pull-request): "/),
  )
  it('take the pull request’s head for the commit', () => {
    const file = join(directory, 'event.json')
    writeFileSync(file, JSON.stringify({ pull_request: { head: { sha: 'a'.repeat(40) } } }))
    expect(
      read({ GITHUB_EVENT_NAME: 'pull_request', GITHUB_EVENT_PATH: file, GITHUB_SHA: 'b'.repeat(40) }).run,
    ).toMatchObject({
      headSha: 'a'.repeat(40),
      sha: 'b'.repeat(40),
    })
  })
  it('do not reach scripts: the step’s own environment is without them', () =>
    expect(read({ INPUT_SERVERS: 'all', 'INPUT_SSH-KEY': 'secret', PORT: '8000' }).env).toEqual({ PORT: '8000' }))
})

describe('from a shell', () => {
  it('the command comes first, and inputs are flags', () =>
    expect(read({}, 'plan', '--environment', 'staging', '--max-parallelism=3')).toMatchObject({
      command: 'plan',
      environment: 'staging',
      maxParallelism: 3,
    }))
  it('a key comes from a file, never from an argument', () => {
    const file = join(directory, 'key')
    writeFileSync(file, 'KEY')
    expect(read({}, 'plan', '--ssh-key-file', file).sshKey).toBe('KEY')
    expect(() => read({}, 'plan', '--ssh-key', 'KEY')).toThrow(/not taken as an argument/)
    expect(() => read({}, 'plan', '--ssh-key-file', join(directory, 'none'))).toThrow(/cannot be read/)
  })
  it('what is not known is named with what is', () => {
    expect(() => read({}, 'plan', '--environmnt', 'x')).toThrow(/unknown option --environmnt/)
    expect(() => read({}, 'plan', 'deploy')).toThrow(/unexpected argument/)
    expect(() => read({}, 'plan', '--environment')).toThrow(/needs a value/)
  })
})
