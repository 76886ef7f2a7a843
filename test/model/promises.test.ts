/**
 * Server state machine, lock and recovery against random interleavings of failures. Real is everything from the commands `deploy` and
 * `recover` down to the text of the scripts, and the parsing of what servers answer. The model takes the place of SSH (a `Connection` in
 * memory), of the balancer's provider, and of what each script does on a server, piece by piece: that is the lowest seam at which
 * thousands of runs fit into a minute; the scripts themselves run in test/release and test/crash, uploads in test/e2e. Time is virtual.
 *
 * MODEL_RUNS=2000 plays more cases. A failure prints seed and path; MODEL_SEED=… MODEL_PATH=… play that one again.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, expect, it, vi } from 'vitest'
import { type Case, play } from './case.ts'
import { faultNames } from './faults.ts'

vi.mock('../../src/commands/open-fleet.ts', async () => ({
  fleetOf: (await import('./equipment.ts')).fleetOf,
  knownHostsText: () => null,
}))
vi.mock('../../src/balancers/providers.ts', async () => ({
  buildBalancers: (await import('./equipment.ts')).buildBalancers,
}))
const withTags = vi.hoisted(
  () =>
    (...names: string[]) =>
    async (original: () => Promise<object>) =>
      (await import('./tags.ts')).tagged(await original(), ...(names as never[])),
)
vi.mock('../../src/release/fence.ts', withTags('fenced'))
vi.mock('../../src/release/lock.ts', withTags('takeLock', 'renewLock', 'endLeft', 'releaseLock'))
vi.mock('../../src/release/open-journal.ts', withTags('openJournal', 'note'))
vi.mock('../../src/release/stage.ts', withTags('stageBegin', 'stageCommit', 'mark', 'discardStaging'))
vi.mock('../../src/release/switch.ts', withTags('switchTo', 'switchBack'))
vi.mock('../../src/release/finish.ts', withTags('finish'))
vi.mock('../../src/release/sweep.ts', withTags('sweepRemains'))
vi.mock('../../src/release/migration.ts', withTags('startMigration', 'followMigration'))
vi.mock('../../src/release/history.ts', withTags('recordMigration'))
vi.mock('../../src/release/probe.ts', withTags('probe'))
vi.mock('../../src/fleet/step-script.ts', withTags('stepScript'))

const temp = mkdtempSync(join(tmpdir(), 'model-'))
afterAll(() => rmSync(temp, { recursive: true, force: true }))

const fault = fc.record({
  at: fc.nat(140),
  what: fc.constantFrom(...faultNames, 'stop', 'stop', 'outage', 'reload'),
  seconds: fc.constantFrom(0, 1, 5, 20, 45, 70, 130),
})
const cases: fc.Arbitrary<Case> = fc.record({
  seed: fc.nat(),
  strategy: fc.constantFrom('serial', 'rolling', 'parallel'),
  onFailure: fc.constantFrom('stop', 'rollback'),
  migrate: fc.boolean(),
  bad: fc.boolean(),
  operators: fc.boolean(),
  // What nobody can end (sudo) goes on beside a take-over, which refuses to work then: see end-left.test.ts.
  sudo: fc.constant(false),
  lockWait: fc.constantFrom(0, 120),
  second: fc.option(
    // At 66 s the lease of one that was stopped at the beginning is over.
    fc.record({ command: fc.constantFrom('deploy', 'again', 'recover'), at: fc.constantFrom(3, 20, 66, 90, 150) }),
  ),
  faults: fc.uniqueArray(fault, { minLength: 1, maxLength: 6, selector: f => f.at }),
})

it('promises 2, 3, 4, 5, 9 and 10 hold, whatever fails and whenever', { timeout: 900_000 }, async () => {
  const { MODEL_RUNS, MODEL_SEED, MODEL_PATH } = process.env
  await fc.assert(
    fc.asyncProperty(cases, async c => {
      const { w, wrong, results } = await play(c, temp)
      if (wrong.length > 0) throw new Error([...wrong, '', ...results, '', ...w.trace].join('\n'))
    }),
    {
      numRuns: Number(MODEL_RUNS ?? 300),
      ...(MODEL_SEED === undefined ? {} : { seed: Number(MODEL_SEED) }),
      ...(MODEL_PATH === undefined ? {} : { path: MODEL_PATH }),
    },
  )
})

it('a case goes the same way each time it is played', async () => {
  // Locks have random tokens.
  const way = async (c: Case) => (await play(c, temp)).w.trace.map(line => line.replace(/\([0-9a-f]{4}\)/, ''))
  for (const c of fc.sample(cases, { numRuns: 5, seed: 1 })) expect(await way(c)).toEqual(await way(c))
})

it('a deployment to which nothing happens succeeds', async () => {
  const c: Case = {
    seed: 1,
    strategy: 'serial',
    onFailure: 'stop',
    migrate: true,
    bad: false,
    operators: false,
    sudo: false,
    lockWait: 0,
    second: null,
    faults: [],
  }
  const { wrong, results } = await play(c, temp)
  expect({ wrong, results }).toEqual({ wrong: [], results: ['first: success', 'recover: success'] })
})
