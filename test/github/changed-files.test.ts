import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Comparison, changedFiles, headCommit } from '../../src/github/changed-files.ts'

let repo: string
const commits: string[] = []
const git = (...args: string[]) =>
  execFileSync('git', ['-C', repo, '-c', 'user.name=t', '-c', 'user.email=t@example.com', ...args], {
    encoding: 'utf8',
  }).trim()
const commit = (file: string, text: string) => {
  mkdirSync(join(repo, file, '..'), { recursive: true })
  writeFileSync(join(repo, file), text)
  git('add', '.')
  git('commit', '-qm', file)
  commits.push(git('rev-parse', 'HEAD'))
}

beforeAll(() => {
  repo = mkdtempSync(join(tmpdir(), 'changed-'))
  git('init', '-q')
  commit('app.rb', '1')
  commit('db/migrate/1 é.rb', '1')
  commit('app.rb', '2')
})
afterAll(() => rmSync(repo, { recursive: true }))

const compare = (more: Partial<Comparison>) =>
  changedFiles({
    workspace: repo,
    from: commits[0]!,
    to: commits[2]!,
    paths: ['db/migrate/'],
    repository: null,
    token: null,
    apiUrl: '',
    signal: new AbortController().signal,
    ...more,
  })

describe('what changed, from git', () => {
  it('lists the files under the paths', async () => expect(await compare({})).toEqual({ files: ['db/migrate/1 é.rb'] }))
  it('is nothing when other files changed', async () =>
    expect(await compare({ from: commits[1]! })).toEqual({ files: [] }))
  it('takes the twelve digits of a release id', async () =>
    expect(await compare({ from: commits[0]!.slice(0, 12) })).toEqual({ files: ['db/migrate/1 é.rb'] }))
  it.each(['db/**', 'db/*', '**/migrate', 'db/**/*.rb', '{db,app}/migrate', './db/**/'])(
    'lists what the glob %s means',
    async path => expect(await compare({ paths: [path] })).toEqual({ files: ['db/migrate/1 é.rb'] }),
  )
  it('is nothing where a glob means other files', async () =>
    expect(await compare({ paths: ['db/*.rb', 'migrate/**', '*.sql'] })).toEqual({ files: [] }))
  it('does not take db/migrate2 for db/migrate', async () =>
    expect(await compare({ paths: ['db/mig'] })).toEqual({ files: [] }))
  it('is not known for a commit that is not there, with the reason', async () =>
    expect(await compare({ from: 'f'.repeat(40) })).toEqual({ unknown: expect.stringContaining('no token') }))
  it('hands nothing but a commit to git', async () =>
    expect(await compare({ from: '--output=/tmp/x' })).toEqual({ unknown: 'there is no commit to compare with' }))
  it('reads HEAD, and says so where there is none', async () => {
    expect(await headCommit(repo)).toBe(commits[2])
    expect(await headCommit(tmpdir())).toBeNull()
  })
})

describe('what changed, from GitHub for a shallow clone', () => {
  const answer = async (status: number, body: unknown, more: Partial<Comparison> = {}) => {
    const asked: string[] = []
    const server = createServer((req, res) => {
      asked.push(`${req.method} ${req.url}`)
      res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const apiUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const changed = await compare({ from: 'f'.repeat(40), repository: 'o/r', token: 't', apiUrl, ...more })
    server.close()
    return { changed, asked }
  }
  it('asks the compare API', async () => {
    const { changed, asked } = await answer(200, {
      status: 'ahead',
      files: [{ filename: 'db/migrate/2.rb' }, { filename: 'x' }],
    })
    expect(changed).toEqual({ files: ['db/migrate/2.rb'] })
    expect(asked).toEqual([`GET /repos/o/r/compare/${'f'.repeat(40)}...${commits[2]}`])
  })
  it('counts a file that was moved out of the paths', async () =>
    expect(
      (await answer(200, { status: 'ahead', files: [{ filename: 'old/2.rb', previous_filename: 'db/migrate/2.rb' }] }))
        .changed,
    ).toEqual({ files: ['db/migrate/2.rb'] }))
  it('is not known when the commits diverged: three dots would hide what was reverted', async () =>
    expect((await answer(200, { status: 'diverged', files: [] })).changed).toEqual({
      unknown: expect.stringContaining('not an ancestor'),
    }))
  it('is not known when the list is full', async () =>
    expect(
      (await answer(200, { status: 'ahead', files: Array.from({ length: 300 }, (_, i) => ({ filename: `f${i}` })) }))
        .changed,
    ).toEqual({ unknown: expect.stringContaining('first 300') }))
  it('is not known when GitHub refuses, with its answer', async () =>
    expect((await answer(404, { message: 'Not Found' })).changed).toEqual({
      unknown: expect.stringContaining('Not Found'),
    }))
})
