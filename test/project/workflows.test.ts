/**
 * What runs with rights in this repository, and what others copy from its examples. That a workflow is well-formed is asked in
 * test/workflows/. CodeQL runs on GitHub only.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
// @ts-expect-error: a script of the project, without types
import { audited, zizmor } from '../../scripts/zizmor.mjs'

interface Job {
  readonly uses?: string
  readonly concurrency?: unknown
  readonly 'timeout-minutes'?: number
  readonly permissions?: Readonly<Record<string, string>>
  readonly steps?: readonly Step[]
}
interface Step {
  readonly uses?: string
  readonly run?: string
  readonly with?: Readonly<Record<string, unknown>>
}
interface Workflow {
  readonly on: unknown
  readonly permissions?: unknown
  readonly concurrency?: unknown
  readonly jobs: Readonly<Record<string, Job>>
}

const files = (audited() as string[]).filter(file => !/^action\.yml$|dependabot/.test(file))
const own = files.filter(file => file.startsWith('.github/'))
const text = (file: string) => readFileSync(file, 'utf8')
const read = (file: string) => parse(text(file)) as Workflow
const jobs = (file: string) => Object.values(read(file).jobs)
const steps = (file: string) => jobs(file).flatMap(job => job.steps ?? [])

/** `uses:` of what others wrote, each with its line. */
const others = (file: string) =>
  [...text(file).matchAll(/^\s*(?:- )?uses:\s*(\S+)(.*)$/gm)]
    .map(([, uses = '', comment = '']) => ({ uses, comment: comment.trim() }))
    .filter(({ uses }) => !/^(\.\/|org\/deploy-action[@/])/.test(uses))

describe.each(files)('%s', file => {
  it('pins what others wrote to a commit, and says which version that is', () => {
    for (const { uses, comment } of others(file))
      expect(`${uses} ${comment}`).toMatch(/^[\w.-]+(\/[\w.-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/)
  })

  it('begins with no right but reading', () => {
    expect([{}, { contents: 'read' }]).toContainEqual(read(file).permissions)
  })

  it('leaves no credentials in a checkout', () => {
    const checkouts = steps(file).filter(step => step.uses?.startsWith('actions/checkout@'))
    for (const step of checkouts) expect(step.with).toMatchObject({ 'persist-credentials': false })
  })

  it('puts no word that someone chose into a script, but hands it over by the environment', () => {
    for (const { run } of steps(file)) expect(run ?? '').not.toMatch(/\$\{\{/)
  })

  it('is not started by what gives a stranger rights', () => {
    expect(JSON.stringify(read(file).on)).not.toMatch(/pull_request_target|workflow_run|issue_comment/)
  })
})

describe.each(own)('%s', file => {
  it('ends each of its jobs in time', () => {
    for (const job of jobs(file).filter(j => j.uses === undefined)) expect(job['timeout-minutes']).toBeGreaterThan(0)
  })

  it('says what becomes of two at once', () => {
    const { concurrency } = read(file)
    for (const job of jobs(file)) expect(concurrency ?? job.concurrency).toBeDefined()
  })

  it('gives no job that installs packages a right to write', () => {
    for (const { permissions = {}, steps: its = [] } of jobs(file)) {
      const installs = its.some(step => /\bnpm (ci|cit|install|i)\b|\.ci\/run|npm run/.test(step.run ?? ''))
      const writes = Object.entries(permissions).filter(([, right]) => right === 'write')
      if (installs) expect(writes).toEqual([])
    }
  })
})

describe('an action of someone else', () => {
  it('is the same commit wherever it is used', () => {
    const commits = new Map<string, Set<string>>()
    for (const { uses, comment } of files.flatMap(others)) {
      const [action = '', commit] = uses.split('@')
      const repository = action.split('/').slice(0, 2).join('/')
      commits.set(repository, (commits.get(repository) ?? new Set()).add(`${commit} ${comment}`))
    }
    expect([...commits.keys()]).toContain('actions/checkout')
    for (const [repository, found] of commits)
      expect({ repository, found: [...found] }).toMatchObject({ found: [expect.anything()] })
  })
})

describe('a release', () => {
  const { jobs: its } = read('.github/workflows/release.yml')

  it('is published by one job, after all tests, and by nobody else', () => {
    const writing = own.flatMap(file =>
      Object.entries(read(file).jobs).flatMap(([name, job]) =>
        job.permissions?.['contents'] === 'write' ? [`${basename(file)}: ${name}`] : [],
      ),
    )
    expect(writing).toEqual(['release.yml: publish', 'update-dist.yml: push'])
    expect(its['publish']).toMatchObject({ needs: 'check', environment: 'release' })
    expect(its['check']?.steps?.at(-1)?.run).toBe('.ci/run')
  })
})

describe('Dependabot', () => {
  it('looks at packages, actions and the tools of the tests', () => {
    const { updates } = parse(text('.github/dependabot.yml')) as { updates: readonly Record<string, unknown>[] }
    expect(updates.map(each => each['package-ecosystem'])).toEqual(['npm', 'github-actions', 'pip'])
    for (const each of updates) expect(each['groups']).toBeDefined()
  })

  it('has its dist/ built where nothing can be written', () => {
    const { build, push } = read('.github/workflows/update-dist.yml').jobs
    expect(build?.permissions).toBeUndefined()
    const actions = (push?.steps ?? []).map(step => step.uses?.split('@')[0] ?? 'run')
    expect(actions).toEqual(['actions/checkout', 'actions/download-artifact', 'run'])
    expect(text('.github/workflows/update-dist.yml')).not.toContain('secrets.')
  })
})

describe('zizmor', () => {
  const look = (paths: readonly string[]) => {
    const [program, args] = zizmor('--offline', '--format=plain') as [string, string[]]
    // No token, so that nothing is asked of GitHub.
    return spawnSync(program, [...args, ...paths], { encoding: 'utf8', env: { PATH: process.env['PATH'] ?? '' } })
  }
  let scratch = ''
  beforeEach(() => {
    scratch = mkdtempSync(join(tmpdir(), 'zizmor-'))
  })
  afterEach(() => rmSync(scratch, { recursive: true, force: true }))

  it('finds no weakness in any workflow, here or in the examples', () => {
    const { status, stdout, stderr } = look(audited())
    expect(`${stdout}${status === 0 ? '' : stderr}`).toMatch(/^No findings to report/)
    expect(status).toBe(0)
  })

  it('would find one', () => {
    const folder = join(scratch, '.github', 'workflows')
    mkdirSync(folder, { recursive: true })
    const steps = `[{ run: "echo \${{ github.event.issue.title }}" }]`
    const bad = `name: x\non: issues\npermissions: {}\njobs: { x: { name: x, runs-on: ubuntu-latest, steps: ${steps} } }\n`
    writeFileSync(join(folder, 'bad.yml'), bad)
    const { status, stdout } = look([join(folder, 'bad.yml')])
    expect(status).not.toBe(0)
    expect(stdout).toContain('template-injection')
  })
})
