import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { canonicalJson, digestOf, type Json, releaseId } from '../../src/release/digest.ts'
import { inParallel } from '../../src/release/in-parallel.ts'
import { pack } from '../../src/release/pack.ts'
import { stageBegin, unpack } from '../../src/release/stage.ts'
import { locked, releaseNumber } from './a-release.ts'
import { type Files, never, opened, workspaceWith } from './a-source.ts'
import { ok, shells, temporary } from './shells.ts'

const digest = async (workspace: string, settings: Json = {}) =>
  (await digestOf(await opened(workspace), settings, never)).digest

const nasty: Files = {
  'dist/plain': 'text',
  'dist/empty': '',
  'dist/-dash': 'x',
  'dist/new\nline/tab\tname': 'y',
  'dist/größe': 'ü',
  [`dist/${'long-'.repeat(45)}/${'name-'.repeat(40)}/${'x'.repeat(250)}`]: 'deep',
  [`dist/${'e'.repeat(99)}`]: 'exactly the field',
  [`dist/${'f'.repeat(100)}`]: 'one more',
  'dist/link': { link: 'plain' },
  'dist/long-link': { link: 'z/'.repeat(150) },
  'dist/blocks': 'b'.repeat(1024),
  'dist/large': 'l'.repeat(1_500_000),
}

describe('the digest', () => {
  const files: Files = { 'dist/a/b': 'text', 'dist/run': 'echo', 'dist/l': { link: 'a' } }

  it('is the same for the same content, whatever a checkout chose', async () => {
    const workspace = workspaceWith(files)
    const copy = temporary()
    cpSync(workspace, copy, { recursive: true, verbatimSymlinks: true })
    const before = await digest(workspace)
    for (const [path, mode] of [
      ['a/b', 0o600],
      ['a/b', 0o664],
      ['a', 0o700],
    ] as const)
      chmodSync(join(copy, 'dist', path), mode)
    utimesSync(join(copy, 'dist/a/b'), 5, 5)
    expect(await digest(copy)).toBe(before)
    execFileSync('tar', ['-C', 'dist', '-czf', 'dist.tgz', '.'], { cwd: copy })
    const archive = await opened(copy, { source: 'dist.tgz' })
    expect((await digestOf(archive, {}, never)).digest).toBe(before)
  })

  it('is another for anything that is staged, or written for the environment', async () => {
    const changes: ((d: string) => void)[] = [
      d => appendFileSync(join(d, 'a/b'), 'x'),
      d => chmodSync(join(d, 'run'), 0o755),
      d => cpSync(join(d, 'run'), join(d, 'run2')),
      d => mkdirSync(join(d, 'empty')),
      d => execFileSync('ln', ['-sfn', 'run', join(d, 'l')]),
      d => execFileSync('mv', [join(d, 'a/b'), join(d, 'a/c')]),
      d => execFileSync('sh', ['-c', 'rm l && printf a >l'], { cwd: d }),
    ]
    const seen = [await digest(workspaceWith(files))]
    for (const change of changes) {
      const workspace = workspaceWith(files)
      change(join(workspace, 'dist'))
      seen.push(await digest(workspace))
    }
    seen.push(await digest(workspaceWith(files), { shared: ['log/'] }))
    seen.push(await digest(workspaceWith(files), { prepare: [{ run: 'x' }] }))
    expect(new Set(seen).size).toBe(changes.length + 3)
  })

  it('reads settings without their order', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 3 }), value => {
        const json = value as Json
        const turned = (v: Json): Json =>
          Array.isArray(v)
            ? v.map(turned)
            : v !== null && typeof v === 'object'
              ? Object.fromEntries(
                  Object.entries(v)
                    .reverse()
                    .map(([k, x]) => [k, turned(x)]),
                )
              : v
        expect(canonicalJson(turned(json))).toBe(canonicalJson(json))
        expect(JSON.parse(canonicalJson(json))).toEqual(JSON.parse(JSON.stringify(json)))
      }),
    )
  })

  it('of a release without a source is of its settings', async () => {
    const of = async (settings: Json) => (await digestOf(null, settings, never)).digest
    expect(await of({ a: 1 })).not.toBe(await of({ a: 2 }))
  })

  it('makes the release id', () => {
    const sha = '0123456789abcdef0123456789abcdef01234567'
    expect(releaseId(sha, 'fedcba9876543210')).toBe('0123456789ab-fedcba98')
    expect(releaseId(null, 'fedcba9876543210')).toBe('nocommit-fedcba98')
    expect(() => releaseId('main; rm -rf /', 'fedcba98')).toThrow(/not a commit/)
  })
})

describe.each(shells)('a package unpacked under $name', shell => {
  it('is what was hashed, with names of any kind and length', async () => {
    const workspace = workspaceWith(nasty)
    mkdirSync(join(workspace, 'dist/empty-directory'), { mode: 0o700 })
    chmodSync(join(workspace, 'dist/plain'), 0o4711)
    utimesSync(join(workspace, 'dist/empty'), 1_600_000_000, 1_600_000_000)
    const source = await opened(workspace)
    const hashed = await digestOf(source, {}, never)
    const packed = await pack(source, hashed, join(temporary(), 'sub/release.tgz'), never)
    const bytes = readFileSync(packed.file)
    expect(packed.bytes).toBe(bytes.length)
    const { site, owner, at } = await locked(shell)
    const id = releaseNumber(1)
    await ok(shell, stageBegin(site, owner, id))
    await ok(shell, unpack(site, owner, id), { input: bytes })
    const staged = at('releases', `.staging.${id}`)
    const list = (directory: string) => readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort()
    expect(list(staged)).toEqual(list(join(workspace, 'dist')))
    for (const entry of source.entries) {
      const [there, here] = [join(staged, entry.path), join(workspace, 'dist', entry.path)]
      const { mode, mtimeMs } = lstatSync(there)
      if (entry.kind === 'link') expect(readlinkSync(there)).toBe(readlinkSync(here))
      else expect(mode & 0o7777, entry.path).toBe(entry.kind === 'directory' || entry.executable ? 0o755 : 0o644)
      if (entry.kind !== 'file') continue
      expect(readFileSync(there).equals(readFileSync(here))).toBe(true)
      expect(mtimeMs / 1000).toBe(entry.mtime)
    }
  })
})

describe('a package', () => {
  it('can be opened again and again', async () => {
    const source = await opened(workspaceWith({ 'dist/a': 'x' }))
    const packed = await pack(source, await digestOf(source, {}, never), join(temporary(), 'p.tgz'), never)
    for (let i = 0; i < 2; i++) {
      const chunks: Buffer[] = []
      for await (const chunk of packed.open()) chunks.push(chunk)
      expect(Buffer.concat(chunks)).toHaveLength(packed.bytes)
    }
  })

  it.each<[string, (file: string) => void]>([
    ['grew', f => appendFileSync(f, 'x')],
    ['shrank', f => writeFileSync(f, 'l')],
    ['changed in place', f => writeFileSync(f, 'L'.repeat(1_500_000))],
    ['went', f => rmSync(f)],
  ])('of a file that %s since it was hashed is not made', async (_, change) => {
    for (const path of ['dist/large', 'dist/blocks']) {
      const workspace = workspaceWith({ ...nasty, 'dist/blocks': 'l'.repeat(1_024) })
      const source = await opened(workspace)
      const hashed = await digestOf(source, {}, never)
      change(join(workspace, path))
      const file = join(temporary(), 'p.tgz')
      await expect(pack(source, hashed, file, never)).rejects.toThrow(`${path.slice(5)} changed while it was packed`)
      expect(existsSync(file)).toBe(false)
    }
  })

  it('of a run that was cancelled is removed again', async () => {
    const source = await opened(workspaceWith(nasty))
    const hashed = await digestOf(source, {}, never)
    const file = join(temporary(), 'p.tgz')
    const reason = new Error('cancelled')
    await expect(pack(source, hashed, file, AbortSignal.abort(reason))).rejects.toBe(reason)
    expect(existsSync(file)).toBe(false)
  })
})

describe('work a few at a time', () => {
  it('is never more at once than asked for, and its results are in order', async () => {
    let [now, most] = [0, 0]
    const results = await inParallel([...Array(20).keys()], 3, async n => {
      most = Math.max(most, ++now)
      await new Promise(resolve => setImmediate(resolve))
      now--
      return n * 2
    })
    expect([most, results]).toEqual([3, [...Array(20).keys()].map(n => n * 2)])
  })

  it('begins nothing after a failure, and throws it when the rest has ended', async () => {
    const begun: number[] = []
    const failing = inParallel([...Array(20).keys()], 2, async n => {
      begun.push(n)
      await new Promise(resolve => setImmediate(resolve))
      if (n === 3) throw new Error('three')
    })
    await expect(failing).rejects.toThrow('three')
    expect(begun.length).toBeLessThan(7)
  })
})
