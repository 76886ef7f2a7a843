import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
// @ts-expect-error: a script of the project, without types
import { audited } from '../../scripts/zizmor.mjs'
import { ManifestError } from '../../src/errors.ts'
import type { Manifest } from '../../src/manifest/manifest.ts'
import { readManifest } from '../../src/manifest/read.ts'
import { plannedGroups } from '../../src/plan/groups.ts'

const directory = 'examples'
const names = readdirSync(directory).filter(name => existsSync(join(directory, name, 'deploy.yml')))

const read = (name: string): Manifest => {
  const file = join(directory, name, 'deploy.yml')
  return readManifest({ file, text: readFileSync(file, 'utf8'), environment: null })
}

const problemsOf = (name: string): readonly string[] => {
  try {
    read(name)
    return []
  } catch (error) {
    if (error instanceof ManifestError) return error.problems.map(problem => problem.message)
    throw error
  }
}

interface Workflow {
  readonly jobs: Readonly<Record<string, { readonly steps?: readonly Step[] }>>
}
interface Step {
  readonly uses?: string
  readonly with?: Readonly<Record<string, string>>
  readonly env?: Readonly<Record<string, string>>
}
const stepsOf = (file: string) =>
  Object.values((parse(readFileSync(file, 'utf8')) as Workflow).jobs).flatMap(j => j.steps ?? [])

const workflows = (audited() as string[]).filter(file => !/^action\.yml$|dependabot/.test(file))
const inputs = Object.keys((parse(readFileSync('action.yml', 'utf8')) as { inputs: object }).inputs)

describe('the examples', () => {
  it('are the five of the README', () => {
    expect(names.sort()).toEqual(['docker-compose-alb', 'minimum', 'node-systemd', 'php-parallel', 'rails-haproxy'])
  })

  it.each(names)('%s is a manifest this version carries out', name => {
    expect(problemsOf(name)).toEqual([])
  })

  it('rails-haproxy goes through its workers in parallel, then its web servers in serial', () => {
    const manifest = read('rails-haproxy')
    const off = { enabled: false, origin: 'manifest', reason: '', server: null, done: false } as const
    const groups = plannedGroups(manifest, null, off, manifest.servers, manifest.rollout.max_parallelism)
    expect(groups.map(g => [g.strategy, g.servers])).toEqual([
      ['parallel', ['worker1', 'worker2']],
      ['serial', ['web1', 'web2', 'web3']],
    ])
  })

  it('php-parallel has ten servers from one line', () => {
    expect(read('php-parallel').servers.map(s => `${s.name} ${s.host}`)).toEqual(
      Array.from({ length: 10 }, (_, i) => `php${String(i + 1).padStart(2, '0')} 10.0.1.${i + 11}`),
    )
  })

  it('minimum has five lines', () => {
    const lines = readFileSync('examples/minimum/deploy.yml', 'utf8').trim().split('\n')
    expect(lines.filter(line => !line.startsWith('#'))).toHaveLength(5)
  })
})

describe.each(workflows)('%s', file => {
  it('gives this action only inputs that it has', () => {
    const ours = stepsOf(file).filter(step => step.uses === './' || step.uses?.startsWith('org/deploy-action@'))
    for (const step of ours) expect(inputs).toEqual(expect.arrayContaining(Object.keys(step.with ?? {})))
  })
})

describe('the workflow of an example', () => {
  it.each(names.filter(name => existsSync(join(directory, name, 'workflow.yml'))))(
    '%s hands the step what its manifest takes from there',
    name => {
      const written = parse(readFileSync(join(directory, name, 'deploy.yml'), 'utf8')) as {
        readonly secrets?: readonly string[]
        readonly env?: Readonly<Record<string, unknown>>
      }
      const fromStep = Object.entries(written.env ?? {}).flatMap(([key, value]) => (value === null ? [key] : []))
      const step = stepsOf(join(directory, name, 'workflow.yml')).find(s => s.uses?.startsWith('org/deploy-action@'))
      expect(Object.keys(step?.env ?? {})).toEqual(expect.arrayContaining([...(written.secrets ?? []), ...fromStep]))
    },
  )
})
