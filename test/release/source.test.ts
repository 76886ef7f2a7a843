import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, symlinkSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { excluding } from '../../src/release/exclude.ts'
import { opened, workspaceWith } from './a-source.ts'
import { temporary } from './shells.ts'

const paths = async (...words: Parameters<typeof opened>) => (await opened(...words)).entries.map(e => e.path)

describe('a source', () => {
  it('is a sorted list of what is there, directories before what is in them', async () => {
    const workspace = workspaceWith({
      'dist/b-c': 'x',
      'dist/b/c': 'xyz',
      'dist/.hidden': '',
      'dist/a': { link: 'b/c' },
      'dist/new\nline': '1',
      other: 'not this',
    })
    mkdirSync(join(workspace, 'dist/empty'))
    chmodSync(join(workspace, 'dist/b/c'), 0o750)
    utimesSync(join(workspace, 'dist/b/c'), 1000, 1000.9)
    const source = await opened(workspace)
    expect(source.entries.map(e => e.path)).toEqual(['.hidden', 'a', 'b', 'b-c', 'b/c', 'empty', 'new\nline'])
    expect(source.entries.find(e => e.path === 'a')).toEqual({ path: 'a', kind: 'link', target: 'b/c' })
    expect(source.entries.find(e => e.path === 'b/c')).toEqual({
      path: 'b/c',
      kind: 'file',
      executable: true,
      size: 3,
      mtime: 1000,
    })
    expect([source.files, source.bytes, source.warnings]).toEqual([5, 5, []])
  })

  it('never has .git in it, at any depth, as a directory or a file', async () => {
    const workspace = workspaceWith({ 'dist/.git/config': '', 'dist/sub/.git': 'gitdir: x', 'dist/sub/.gitkeep': '' })
    expect(await paths(workspace)).toEqual(['sub', 'sub/.gitkeep'])
    expect(await paths(workspaceWith({ '.git/config': '', file: '' }), { source: '.' })).toEqual(['file'])
  })

  it.each([
    ['not/built', /not\/built is not there/],
    ['a-file', /neither a directory nor/],
    ['empty', /empty is empty/],
    ['../elsewhere', /without "\.\."/],
    ['/etc', /not an absolute one/],
    ['.git', /never deployed/],
    ['out', /leads out of the workspace/],
    ['a-file/below', /is not there/],
  ])('that is %s is refused', async (source, message) => {
    const workspace = workspaceWith({ 'a-file': '', '.git/config': '', out: { link: '/etc' } })
    mkdirSync(join(workspace, 'empty'))
    await expect(opened(workspace, { source })).rejects.toThrow(message)
    await expect(opened(workspace, { source })).rejects.toMatchObject({ name: 'InputError' })
  })

  it('may be a link to another place in the workspace', async () => {
    const workspace = workspaceWith({ 'build/1/index': '', dist: { link: 'build/1' } })
    expect(await paths(workspace)).toEqual(['index'])
  })

  it('of which all is excluded is refused, and says so', async () => {
    const workspace = workspaceWith({ 'dist/a.map': '' })
    await expect(opened(workspace, { exclude: ['*.map'] })).rejects.toThrow(/all of it is excluded/)
  })

  it('keeps links that lead out, with a warning that names them', async () => {
    const workspace = workspaceWith({
      'dist/abs': { link: '/etc/passwd' },
      'dist/sub/up': { link: '../../up' },
      'dist/sub/fine': { link: '../x' },
    })
    const { warnings, files } = await opened(workspace)
    expect(files).toBe(3)
    expect(warnings).toEqual([expect.stringContaining('abs -> /etc/passwd, sub/up -> ../../up')])
  })

  it('with a pipe or a socket in it is refused', async () => {
    const workspace = workspaceWith({ 'dist/sub/a': '' })
    execFileSync('mkfifo', [join(workspace, 'dist/sub/pipe')])
    await expect(opened(workspace)).rejects.toThrow(/sub\/pipe is a socket, a pipe or a device/)
    expect(await paths(workspace, { exclude: ['pipe'] })).toEqual(['sub', 'sub/a'])
  })

  it('with a name that is not UTF-8 is refused', async () => {
    const workspace = workspaceWith({ 'dist/a': '' })
    execFileSync('sh', ['-c', `: >"$(printf 'dist/b\\377')"`], { cwd: workspace })
    await expect(opened(workspace)).rejects.toThrow(/not UTF-8/)
  })

  it('ends with the signal that ends the run', async () => {
    const reason = new Error('cancelled')
    await expect(opened(workspaceWith({ 'dist/a': '' }), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  })
})

describe('an archive as source', () => {
  const files = { 'in/bin/run': 'echo', 'in/a': { link: 'bin/run' }, 'in/.git/x': '' }
  it.each(['a.tar', 'a.tar.gz', 'a.tgz', 'a.tar.zst'])('%s is what it was packed from', async name => {
    const workspace = workspaceWith(files)
    chmodSync(join(workspace, 'in/bin/run'), 0o755)
    execFileSync('tar', ['-C', 'in', '-caf', name, '.'], { cwd: workspace })
    const { entries } = await opened(workspace, { source: name })
    expect(entries).toMatchObject([
      { path: 'a', kind: 'link', target: 'bin/run' },
      { path: 'bin', kind: 'directory' },
      { path: 'bin/run', kind: 'file', executable: true },
    ])
  })

  it('with members that lead out is refused before anything is unpacked', async () => {
    const workspace = workspaceWith({ 'in/a': '', outside: 'x' })
    execFileSync('tar', ['-C', 'in', '-Pcf', 'up.tar', '../outside'], { cwd: workspace })
    execFileSync('tar', ['-Pcf', 'abs.tar', join(workspace, 'outside')], { cwd: workspace })
    for (const source of ['up.tar', 'abs.tar'])
      await expect(opened(workspace, { source })).rejects.toThrow(/would be unpacked outside/)
  })

  it('cannot write through a link of its own', async () => {
    const [workspace, target] = [workspaceWith({ 'one/x': '' }), temporary()]
    mkdirSync(join(workspace, 'two/x'), { recursive: true })
    execFileSync(
      'sh',
      [
        '-c',
        'rm one/x && ln -s "$T" one/x && echo >two/x/pwned && tar -C one -cf a.tar x && tar -C two -rf a.tar x/pwned',
      ],
      {
        cwd: workspace,
        env: { ...process.env, T: target },
      },
    )
    await opened(workspace, { source: 'a.tar' }).catch(() => {})
    expect(execFileSync('ls', [target], { encoding: 'utf8' })).toBe('')
  })

  it('that is cut off is refused', async () => {
    const workspace = workspaceWith({ 'in/a': 'x'.repeat(100_000), 'b.tgz': 'not gzip' })
    execFileSync('sh', ['-c', 'tar -C in -cf - . | head -c 5000 >a.tar'], { cwd: workspace })
    for (const source of ['a.tar', 'b.tgz'])
      await expect(opened(workspace, { source })).rejects.toThrow(/cannot be unpacked/)
  })
})

describe('exclude', () => {
  it.each([
    ['*.map', 'app.js.map', false, true],
    ['*.map', 'deep/down/app.js.map', false, true],
    ['*.map', 'app.js', false, false],
    ['node_modules/', 'deep/node_modules', true, true],
    ['node_modules/', 'deep/node_modules', false, false],
    ['tmp/cache', 'tmp/cache', true, true],
    ['tmp/cache', 'deep/tmp/cache', true, false],
    ['/tmp', 'tmp', true, true],
    ['/tmp', 'deep/tmp', true, false],
    ['./tmp', 'deep/tmp', true, false],
    ['**/*.test.js', 'a/b/c.test.js', false, true],
    ['docs/**', 'docs/a/b', false, true],
    ['*', '.env', false, true],
    ['.env*', 'config/.env.local', false, true],
  ])('%s and %s: %o', (pattern, path, directory, out) => {
    expect(excluding([pattern])(path, directory)).toBe(out)
  })
  it.each(['!keep', '/', './'])('%s is refused', pattern => {
    expect(() => excluding([pattern])).toThrow(/release\.exclude/)
  })
  it('leaves out whole directories', async () => {
    const workspace = workspaceWith({ 'dist/a/node_modules/x/y': '', 'dist/a/b': '' })
    expect(await paths(workspace, { exclude: ['node_modules/'] })).toEqual(['a', 'a/b'])
    symlinkSync('a', join(workspace, 'dist/node_modules'))
    expect(await paths(workspace, { exclude: ['node_modules/'] })).toEqual(['a', 'a/b', 'node_modules'])
  })
})
