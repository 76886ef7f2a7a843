/** plan → shards → report, as the jobs of a workflow, against real SSH servers: and what one run of all of them says. */
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { readReport } from '../../src/report/report-schema.ts'
import { startManyServers } from '../support/many-servers.ts'
import type { ActionResult } from '../support/runner.ts'
import type { Site } from '../support/site.ts'
import { listed, outcome, useSites } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const site = useSites()

const rollout = { strategy: 'parallel', max_parallelism: 6, max_failures: '100%' }
const bad = 'web2:activate-fails web5:activate-fails'

const reportOf = (result: ActionResult) => readReport(readFileSync(result.outputs['report-path'] ?? '', 'utf8'))

/** The shards at the same time, each a process of its own. */
async function fanOut(at: Site, shards: readonly string[], inputs: Readonly<Record<string, string>> = {}) {
  const running = shards.map(shard => at.start({ shard, ...inputs }))
  return Promise.all(running.map(r => r.ended))
}

/** What actions/download-artifact leaves where the last job looks. */
function download(at: Site, results: readonly ActionResult[]): void {
  const directory = join(at.workspace, 'reports')
  mkdirSync(directory, { recursive: true })
  for (const [i, { outputs }] of results.entries())
    copyFileSync(outputs['report-path'] ?? '', join(directory, `report-${i + 1}.json`))
}

describe('a fan-out of three shards over six servers', () => {
  it('reports, put together, what one run of the same servers with the same failures does', {
    timeout: 240_000,
  }, async () => {
    const at = await site({ servers: 6 })
    at.manifest({ rollout })
    at.change({ version: '2', behaviour: bad })
    const single = await at.deploy()
    expect(outcome(single)['succeeded'], single.log).toEqual(['web1', 'web3', 'web4', 'web6'])

    at.change({ version: '3', behaviour: bad })
    const planned = await at.deploy({ command: 'plan', shard: '3' })
    expect(planned.code, planned.log).toBe(0)
    const matrix = JSON.parse(planned.outputs['matrix'] ?? '') as { shard: string[] }
    expect(matrix).toEqual({ shard: ['1/3', '2/3', '3/3'] })
    expect(planned.log).toContain('Fan-out: 3 shards at most')

    const results = await fanOut(at, matrix.shard)
    // web1 web4, web2 web5, web3 web6
    expect(results.map(r => r.code)).toEqual([0, 1, 0])
    expect(results[1]?.summary).toContain('shard 2 of 3')
    download(at, results)
    const merged = await at.deploy({ command: 'report', 'ssh-key': '' })
    expect(merged.code, merged.log).toBe(1)
    const said = ({ outputs }: ActionResult) => ({ ...outputs, release: '', 'report-path': '' })
    expect(said(merged)).toEqual(said(single))
    expect(merged.outputs['release']).toBe(results[0]?.outputs['release'])
    const whatOf = (result: ActionResult) =>
      [...reportOf(result).servers.values()].map(s => [
        s.name,
        s.ended?.outcome,
        s.ended?.rotation,
        s.ended?.failure?.stage,
        s.steps.map(step => [step.name, step.outcome]),
      ])
    expect(whatOf(merged)).toEqual(whatOf(single))
    expect(reportOf(merged).plan?.servers.map(s => s.name)).toEqual(['web1', 'web2', 'web3', 'web4', 'web5', 'web6'])
    const limits = (result: ActionResult) => reportOf(result).plan?.groups.map(g => g.limit)
    expect(limits(merged)).toEqual(limits(single))
    for (const name of ['web2', 'web5'])
      expect(merged.commands.filter(c => c.name === 'error' && c.properties.includes(name))).toHaveLength(1)
    // Who looks at the whole is not told three times what each shard is told of itself.
    expect(merged.summary).not.toContain('This is shard')
    expect(at.heldLocks()).toEqual([])
  })

  it('tells of a shard that was killed and of one that never came; a next run takes their servers from retry', {
    timeout: 240_000,
  }, async () => {
    const at = await site({ servers: 6 })
    // Once, on the servers of the second shard: it is killed there, however late.
    const hangs = 'web2 | web5) if mkdir "$HOME/once" 2>/dev/null; then sleep 600; fi ;;'
    at.manifest({ rollout, activate: `case $DEPLOY_SERVER in ${hangs} esac; ./activate` })
    at.change({ version: '2' })
    const killed = at.start({ shard: '2/3' })
    const hang = () => ['web2', 'web5'].every(name => existsSync(join(at.server(name).sshd.home, 'once')))
    await waitUntil('they are being activated', hang, 120_000)
    killed.kill('SIGKILL')
    const results = [...(await fanOut(at, ['1/3'])), await killed.ended]
    expect(results[0]?.code, results[0]?.log).toBe(0)
    download(at, results)
    const merged = await at.deploy({ command: 'report' })
    expect(merged.code).toBe(1)
    expect(listed(merged, 'succeeded')).toEqual(['web1', 'web4'])
    expect(listed(merged, 'retry')).toEqual(['web2', 'web3', 'web5', 'web6'])
    expect(listed(merged, 'pending')).toEqual(expect.arrayContaining(['web3', 'web6']))
    expect(merged.summary).toContain('shard 3 of 3 left no report: what became of web3, web6 is not known')
    expect(merged.summary).toContain('shard 2 of 3 did not come to an end')
    const again = await at.deploy({ servers: merged.outputs['retry'] ?? '' })
    expect(again.code, again.log).toBe(0)
    expect(at.servers.map(s => at.current(s.name))).toEqual(Array(6).fill(at.current('web1')))
  })
})

describe('shards that do not make one deployment', () => {
  it('of different builds: a failure that says so, with every server in one list', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 4 })
    at.manifest({ rollout })
    at.change({ version: '2' })
    const first = await at.deploy({ shard: '1/2' })
    writeFileSync(join(at.workspace, 'app/built-at'), 'later')
    const second = await at.deploy({ shard: '2/2' })
    expect([first.code, second.code], second.log).toEqual([0, 0])
    download(at, [first, second])
    const merged = await at.deploy({ command: 'report' })
    expect(merged.code).toBe(1)
    const [one, two] = [first, second].map(r => r.outputs['release'])
    expect(merged.log).toContain(
      `shards deployed different builds: shard 1 of 2: ${one}, shard 2 of 2: ${two}\n→ build once and hand it on`,
    )
    expect(listed(merged, 'succeeded')).toEqual(['web1', 'web2', 'web3', 'web4'])
    expect(merged.outputs).toMatchObject({ result: 'failure', retry: '[]', release: '' })
    expect(merged.summary).toContain('| 2/2 | ✅ success | 2 succeeded |')
  })

  it('one of them cancelled: nobody is alarmed of servers that its post step puts back', {
    timeout: 240_000,
  }, async () => {
    const at = await startManyServers(4)
    onTestFinished(() => at.stop())
    at.manifest({
      activate: 'echo "$DEPLOY_SERVER" >>"$LOG"; while [ -e "$TEMP/hold.$DEPLOY_SERVER" ]; do sleep 0.1; done',
      rollout: { ...rollout, strategy: 'rolling', batch: ['100%'], max_parallelism: 2, min_in_service: 2 },
    })
    writeFileSync(join(at.temp, 'hold.web002'), '')
    const cancelled = at.start({ shard: '2/2' })
    await waitUntil('it activates', () => at.log().includes('web002'), 90_000)
    const results = [await cancelled.cancel(), await at.run({ shard: '1/2' })]
    expect(listed(results[0] as ActionResult, 'left-out')).toEqual(['web002'])
    expect(await at.out()).toEqual([])
    const directory = join(at.temp, 'workspace/reports')
    mkdirSync(directory)
    for (const [i, { outputs }] of results.entries())
      copyFileSync(outputs['report-path'] ?? '', join(directory, `${i}.json`))
    const merged = await at.run({ command: 'report' })
    expect(merged.outputs['result'], merged.log).toBe('cancelled')
    expect(listed(merged, 'left-out')).toEqual(['web002'])
    expect(merged.summary).toContain('as of before its post step')
    expect(merged.summary + merged.log + JSON.stringify(merged.commands)).not.toMatch(/🚨|put .*back with|left out of/i)
  })
})

describe('the output matrix', () => {
  it('is no shard where nothing is selected, and one where shards would be of no use', {
    timeout: 240_000,
  }, async () => {
    const at = await site({ servers: 2, seed: false })
    const matrixOf = async (inputs: Readonly<Record<string, string>>) =>
      JSON.parse((await at.deploy({ command: 'plan', ...inputs })).outputs['matrix'] ?? '') as unknown
    expect(await matrixOf({ servers: '[]' })).toEqual({ shard: [] })
    expect(await matrixOf({ strategy: 'serial' })).toEqual({ shard: ['1/1'] })
  })
})
