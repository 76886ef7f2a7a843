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
  ])('%j is refused', (env, message) => expect(() => read(env as unknown as Record<string, string>)).toThrow(message))
  it.each([
    [{ INPUT_SHARD: '1/2' }],
    [{ 'INPUT_PULL-REQUEST': '7' }],
    [{ 'INPUT_GITHUB-DEPLOYMENT': 'true' }],
    [{ INPUT_COMMAND: 'preview' }],
  ])('%j is refused as not supported yet, never ignored', env =>
    expect(() => read(env as unknown as Record<string, string>)).toThrow(/not supported yet/),
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
