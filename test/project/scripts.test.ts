/** The scripts around the project, as programs. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
// @ts-expect-error: a script of the project, without types
import { slowest } from '../../scripts/slowest.mjs'

let scratch = ''
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'scripts-'))
})
afterEach(() => rmSync(scratch, { recursive: true, force: true }))

const count = (results: object | null, exitCode: number): string => {
  const file = join(scratch, results === null ? 'none.json' : 'results.json')
  if (results !== null) writeFileSync(file, JSON.stringify(results))
  return execFileSync(process.execPath, ['scripts/count.mjs', file, String(exitCode)], { encoding: 'utf8' }).trim()
}
const good = {
  success: true,
  numPassedTests: 5,
  numFailedTests: 0,
  numPendingTests: 0,
  numTodoTests: 0,
  testResults: [{ status: 'passed', assertionResults: [{ status: 'passed' }] }],
}

describe('the count of tests', () => {
  it('is what vitest says', () => {
    expect(count(good, 0)).toBe('5 0 0')
    const failed = [{ status: 'failed', assertionResults: [{ status: 'failed' }] }]
    expect(count({ ...good, success: false, numFailedTests: 2, numPendingTests: 1, testResults: failed }, 1)).toBe(
      '5 2 1',
    )
  })

  it('holds a file that could not be loaded', () => {
    const testResults = [...good.testResults, { status: 'failed', assertionResults: [] }]
    expect(count({ ...good, success: false, testResults }, 1)).toBe('5 1 0')
  })

  it('holds a run that failed without saying where, and one that said nothing', () => {
    expect(count(good, 1)).toBe('5 1 0')
    expect(count(null, 0)).toBe('0 1 0')
  })
})

describe('a tool that the tests need', () => {
  const ask = (code: string, path: string) =>
    spawnSync(process.execPath, ['--input-type=module', '-e', `import * as t from './scripts/tools.mjs'; ${code}`], {
      encoding: 'utf8',
      env: { PATH: path },
    }).stdout.trim()

  it('is found where Debian puts it, whatever PATH says', () => {
    expect(ask("console.log(t.missing('').includes('sshd'))", '')).toBe('false')
  })

  it('is named with the line that installs it when it is missing', () => {
    expect(ask("console.log(t.missing('/nowhere').includes('git'))", '')).toBe('true')
    expect(ask("console.log(t.installLine(['sshd', 'ssh', 'ssh-keygen', 'haproxy']))", '')).toBe(
      'sudo apt-get update && sudo apt-get install -y openssh-server openssh-client haproxy',
    )
  })
})

describe('the tests that take longest', () => {
  it('are those that were measured, longest first', () => {
    const file = (name: string, seconds: number) => ({
      name: `/x/test/${name}`,
      startTime: 5000,
      endTime: 5000 + seconds * 1000,
    })
    const results = { testResults: [file('a.test.ts', 20.2), file('b.test.ts', 2), file('c.test.ts', 300)] }
    expect(Object.entries(slowest(results, '/x'))).toEqual([
      ['test/c.test.ts', 300],
      ['test/a.test.ts', 20],
    ])
    expect(() => slowest(results, '/y')).toThrow('is not below /y')
  })

  it('are there', () => {
    const names = Object.keys(JSON.parse(readFileSync('test/slowest.json', 'utf8')) as object)
    expect(names.filter(name => !existsSync(name))).toEqual([])
  })
})

describe('.ci/run', () => {
  const text = readFileSync('.ci/run', 'utf8')

  it('counts each check once and goes on after a failed one', () => {
    expect(text.match(/^check '/gm)).toHaveLength(7)
    expect(text).not.toMatch(/set -[a-z]*e/)
  })
})

describe('the project', () => {
  const files = execFileSync('git', ['ls-files'], { encoding: 'utf8' }).trim().split('\n')

  it('leaves no test out', () => {
    const tests = files.filter(file => file.startsWith('test/') && file.endsWith('.test.ts'))
    const leftOut = /\b(?:it|test|describe)\.(?:skip|only|todo|fails|skipIf|runIf)\b/
    // Where Go is missing, by its name; with CI=true that is a failure (scripts/go-tools.mjs).
    const withoutGo = 'describe.skipIf(withoutGoTools)('
    expect(tests.filter(file => leftOut.test(readFileSync(file, 'utf8').replaceAll(withoutGo, '')))).toEqual([])
  })

  it('has no file of more than 14 kB among its sources', () => {
    const large = files.filter(f => f.startsWith('src/') && readFileSync(f).length > 14 * 1024)
    expect(large).toEqual([])
  })

  it('has a lock file that names no host', () => {
    expect(readFileSync('package-lock.json', 'utf8')).not.toMatch(/"resolved"/)
  })

  it('ships the bundle and its licences, and nothing else', () => {
    expect(readdirSync('dist').sort()).toEqual(['index.js', 'licenses.txt'])
  })
})
