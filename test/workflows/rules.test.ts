/** What holds for each workflow that users copy. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { commands } from '../../src/inputs.ts'
import { strategies } from '../../src/manifest/schema.ts'
import { type Concurrency, examples, ours, read, stepsOf, textOf, workflows } from './read.ts'

const action = parse(readFileSync('action.yml', 'utf8')) as Record<'inputs' | 'outputs', object>
const [inputs, outputs] = [Object.keys(action.inputs), Object.keys(action.outputs)]
const words: Readonly<Record<string, readonly string[]>> = {
  command: commands,
  strategy: ['auto', ...strategies],
  migrate: ['auto', 'true', 'false'],
  'github-deployment': ['auto', 'true', 'false'],
  comment: ['true', 'false'],
}
const ready = '.github/workflows/deploy.yml'
const offered = [...examples, ready]

it('there is one for each way to use the action', () => {
  expect(examples.map(file => file.replace('examples/workflows/', ''))).toEqual(
    expect.arrayContaining([
      ...['canary.yml', 'dispatch.yml', 'fan-out.yml', 'previews-clean-up.yml', 'previews.yml'],
      ...['push-to-production.yml', 'recover.yml', 'reusable.yml', 'rollback.yml', 'status.yml'],
    ]),
  )
})

describe.each(workflows)('%s', file => {
  const workflow = read(file)
  const steps = stepsOf(workflow)
  const uses = [...steps.map(s => s.uses), ...Object.values(workflow.jobs).map(j => j.uses)].filter(
    u => u !== undefined,
  )

  it('gives this action only inputs that it has, and words that it knows', () => {
    for (const step of steps.filter(s => ours(s.uses)))
      for (const [name, value] of Object.entries(step.with ?? {})) {
        expect(inputs).toContain(name)
        if (words[name] !== undefined && !value.includes('${{')) expect(words[name]).toContain(value)
      }
  })

  it('asks for outputs that the action has', () => {
    const own = new Set(steps.filter(s => ours(s.uses)).map(s => s.id))
    for (const [, id, name] of textOf(file).matchAll(/steps\.([\w-]+)\.outputs\.([\w-]+)/g))
      if (own.has(id)) expect(outputs).toContain(name)
  })

  it('pins what others wrote to a commit, and says which version that is', () => {
    for (const used of uses.filter(u => !u.startsWith('org/deploy-action') && !u.startsWith('./')))
      expect(textOf(file)).toMatch(new RegExp(`${used.replace(/@.*/, '')}@[0-9a-f]{40} # v\\d+\\.\\d+\\.\\d+\\n`))
  })

  it('puts nothing that comes from outside into a script', () => {
    for (const step of steps) expect(step.run ?? '').not.toContain('${{')
  })

  it('keeps no token in the checkout', () => {
    for (const step of steps.filter(s => s.uses?.startsWith('actions/checkout@')))
      expect(step.with).toMatchObject({ 'persist-credentials': false })
  })
})

describe.each(offered)('%s', file => {
  const workflow = read(file)
  const jobs = Object.entries(workflow.jobs)

  it('may read the repository, and no job may do more than it says why', () => {
    expect(workflow.permissions).toEqual({ contents: 'read' })
    const more = jobs.flatMap(([, job]) => Object.entries(job.permissions ?? {})).filter(([, may]) => may === 'write')
    for (const [name, may] of more) {
      expect(['deployments', 'pull-requests']).toContain(name)
      expect(textOf(file)).toMatch(new RegExp(`${name}: ${may} # .+`))
    }
  })

  it('ends by itself, and has an environment wherever it has a key', () => {
    for (const [, job] of jobs.filter(([, j]) => j.steps !== undefined)) {
      expect(job['timeout-minutes']).toBeGreaterThan(0)
      if (JSON.stringify(job).includes('secrets.')) expect(job.environment).toBeDefined()
    }
  })

  it('queues what changes an environment, and never cuts it off', () => {
    const groups = [workflow.concurrency, ...jobs.map(([, j]) => j.concurrency)].filter(c => c !== undefined)
    const isQueue = (c: Concurrency) => c.queue === 'max' && c['cancel-in-progress'] === undefined
    for (const group of groups.filter(c => /^(deploy|canary)-/.test(c.group))) expect(isQueue(group)).toBe(true)
    const changes = stepsOf(workflow).some(
      s => ours(s.uses) && !['status', 'preview'].includes(s.with?.['command'] ?? ''),
    )
    if (changes) expect(groups.some(isQueue)).toBe(true)
    // GitHub refuses the two together.
    for (const group of groups)
      expect(group.queue !== undefined && group['cancel-in-progress'] !== undefined).toBe(false)
  })

  it('asks a person for at most ten things, each described, in words that the action knows', () => {
    const asked = Object.entries(workflow.on['workflow_dispatch']?.inputs ?? {})
    expect(asked.length).toBeLessThanOrEqual(10)
    for (const [name, input] of asked) {
      expect(input.description).toBeTruthy()
      for (const option of input.options ?? []) expect(words[name]).toContain(option)
    }
  })

  it('has a record of each deployment from one hand: GitHub’s for the commit of the run, the action’s for any other', () => {
    for (const [, job] of jobs) {
      const steps = (job.steps ?? []).filter(s => ours(s.uses))
      const deploysOnly = steps.length > 0 && steps.every(s => (s.with?.['command'] ?? 'deploy') === 'deploy')
      const automatic =
        job.environment !== undefined && (typeof job.environment === 'string' || job.environment.deployment !== false)
      if (automatic) expect(deploysOnly).toBe(true)
      const recorded = steps.some(s => s.with?.['github-deployment'] === 'true')
      expect(automatic && recorded).toBe(false)
      if (recorded) expect(job.permissions).toMatchObject({ deployments: 'write' })
    }
  })

  it('uses the stored strategy where none is asked for', () => {
    const { inputs: asked } = workflow.on['workflow_dispatch'] ?? {}
    if (asked?.['strategy'] === undefined) return
    const given = stepsOf(workflow).find(s => ours(s.uses))?.with?.['strategy']
    expect(given).toBe("${{ inputs.strategy != 'auto' && inputs.strategy || vars.DEPLOY_STRATEGY }}")
  })

  it('lets what only reads wait for nobody', () => {
    const { options = [] } = workflow.on['workflow_dispatch']?.inputs?.['command'] ?? {}
    if (options.length === 0) return
    const group = [workflow.concurrency, ...jobs.map(([, j]) => j.concurrency)].find(c => c !== undefined)?.group
    expect(group).toContain(
      `contains(fromJSON('["plan", "status"]'), inputs.command) && format('-read-{0}', github.run_id)`,
    )
  })

  it('begins by saying what it is for, and what it needs', () => {
    expect(textOf(file)).toMatch(/^# [A-Z][^\n]{20,}\n(#[^\n]*\n)*name: /)
    if (file !== ready) expect(textOf(file)).toMatch(/^#.*Needs: /m)
  })
})

it('the ready workflow uses the version that it belongs to', () => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
  expect(
    stepsOf(read(ready))
      .filter(s => ours(s.uses))
      .map(s => s.uses),
  ).toEqual([`org/deploy-action@v${version}`])
})

it('what is called as a ready workflow gets inputs and secrets that it has', () => {
  const call = (parse(textOf(ready)) as { on: { workflow_call: Record<'inputs' | 'secrets', object> } }).on
    .workflow_call
  const { with: given, secrets } = (
    parse(textOf('examples/workflows/reusable.yml')) as { jobs: { production: Record<'with' | 'secrets', object> } }
  ).jobs.production
  expect(Object.keys(call.inputs)).toEqual(expect.arrayContaining(Object.keys(given)))
  expect(Object.keys(call.secrets)).toEqual(expect.arrayContaining(Object.keys(secrets)))
})

it('the ready workflow can do by hand all that its commands need, and is allowed it by who calls it', () => {
  const asked = Object.keys(read(ready).on['workflow_dispatch']?.inputs ?? {})
  expect(asked).toEqual(expect.arrayContaining(['release', 'build', 'servers', 'command']))
  expect(read('examples/workflows/reusable.yml').jobs['production']?.permissions).toEqual(
    read(ready).jobs['deploy']?.permissions,
  )
})

it('the ready workflow takes as inputs what a person is asked for', () => {
  const { on } = read(ready)
  expect(Object.keys(on['workflow_call']?.inputs ?? {})).toEqual(
    expect.arrayContaining(Object.keys(on['workflow_dispatch']?.inputs ?? {})),
  )
})
