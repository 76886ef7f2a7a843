/** Random deployment processes under a virtual clock. PROCESS_RUNS says how many (default 600). */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Shape } from '../plan/manifests.ts'
import { edge, most, newRelease, oldRelease, run, servers, step } from './virtual-deployment.ts'

/** Random processes: roles, tied steps, limits, durations, failures. */
const anyProcess = fc.record({
  n: fc.integer({ min: 1, max: 9 }),
  strategy: fc.constantFrom('serial', 'parallel', 'rolling'),
  batch: fc.option(fc.array(fc.constantFrom('1', '2', '25%', '50%', '100%'), { minLength: 1, maxLength: 3 })),
  limit: fc.integer({ min: 1, max: 6 }),
  minimum: fc.integer({ min: 0, max: 4 }),
  behind: fc.boolean(),
  concurrent: fc.boolean(),
  maxFailures: fc.constantFrom('1', '2', '100%'),
  onFailure: fc.constantFrom('stop', 'rollback'),
  hold: fc.option(fc.constantFrom('3s', '20s')),
  prepare: fc.array(fc.record({ tied: fc.boolean(), once: fc.boolean() }), { maxLength: 4 }),
  activate: fc.array(fc.record({ tied: fc.boolean() }), { minLength: 1, maxLength: 3 }),
  durations: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 7, maxLength: 7 }),
  bad: fc.array(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.constantFrom('p0', 'p1', 'a0', 'a1', 'verify')), {
    maxLength: 2,
  }),
})

describe('for random processes', () => {
  it('limits, order, ends and min_in_service hold, and the makespan keeps its bound', {
    timeout: 300_000,
  }, async () => {
    const seen = { success: 0, failed: 0, 'rolled-back': 0, pending: 0, removed: 0, leftOut: 0 }
    await fc.assert(
      fc.asyncProperty(anyProcess, async p => {
        const tied = (list: readonly { tied: boolean; once?: boolean }[], prefix: string) =>
          list.map((s, i) =>
            step(`${prefix}${i}`, { with_previous: String(s.tied && i > 0), once: String(s.once ?? false) }),
          )
        const minimum = Math.min(p.minimum, p.n - 1)
        const shape: Shape = {
          servers: servers(p.n),
          keys: {
            ...(p.behind ? edge : {}),
            prepare: tied(p.prepare, 'p'),
            activate: tied(p.activate, 'a'),
            verify: { command: 'ok', timeout: '2s' },
            rollout: {
              strategy: p.strategy,
              ...(p.batch === null ? {} : { batch: p.batch }),
              ...(p.hold === null ? {} : { hold: p.hold }),
              max_parallelism: String(p.limit),
              min_in_service: String(minimum),
              concurrent_steps: String(p.concurrent),
              max_failures: p.maxFailures,
              on_failure: p.onFailure,
            },
          },
        }
        const isBad = (server: string, what: string) => p.bad.some(([n, w]) => server === `web${n}` && w === what)
        const takes = (name: string, server: string) =>
          p.durations[(Number(server.slice(3)) * 3 + name.charCodeAt(0) + Number(name.slice(1))) % 7] ?? 1
        const ran = await run(shape, {
          step: (name, server, release) => ({
            seconds: takes(name, server),
            fails: release === newRelease && isBad(server, name),
          }),
          verify: (server, release) => release !== newRelease || !isBad(server, 'verify'),
        })
        const { intervals, plan } = ran
        const outcomes = Object.values(ran.outcomes)
        if (ran.result === 'success') seen.success++
        for (const o of ['failed', 'rolled-back', 'pending'] as const) if (outcomes.includes(o)) seen[o]++
        if (ran.removals.length > 0) seen.removed++
        if (ran.leftOut.length > 0) seen.leftOut++
        expect(plan).not.toBeNull()
        // Never more than the limit, never two steps on one server.
        expect(most(intervals)).toBeLessThanOrEqual(p.limit)
        if (!p.concurrent)
          for (const { name } of shape.servers)
            expect(most(intervals.filter(i => i.server === name))).toBeLessThanOrEqual(1)
        if (p.strategy === 'serial')
          expect(most(intervals.filter(i => i.step.startsWith('a')))).toBeLessThanOrEqual(p.concurrent ? p.limit : 1)
        // Every server ended exactly once in one of the outcomes.
        expect(Object.keys(ran.outcomes).toSorted()).toEqual(shape.servers.map(s => s.name).toSorted())
        // Order: on a server the groups of a phase one after the other.
        for (const { name } of shape.servers)
          for (const phase of ['prepare', 'activate'] as const)
            for (const release of [newRelease, oldRelease]) {
              const own = intervals.filter(i => i.server === name && i.release === release)
              const planned = (plan?.steps ?? []).filter(s => s.phase === phase)
              for (const a of planned)
                for (const b of planned) {
                  if (a.group >= b.group) continue
                  const ends = own.filter(i => i.step === a.name).map(i => i.to)
                  const starts = own.filter(i => i.step === b.name).map(i => i.from)
                  if (ends.length > 0 && starts.length > 0)
                    expect(Math.min(...starts)).toBeGreaterThanOrEqual(Math.max(...ends))
                }
            }
        // A step runs on a server at most once for a release.
        const keys = intervals.map(i => `${i.step} ${i.server} ${i.release}`)
        expect(new Set(keys).size).toBe(keys.length)
        // Promise 2; under parallel nothing is ever removed.
        for (const r of ran.removals) expect(r.inService).toBeGreaterThanOrEqual(minimum)
        if (p.strategy === 'parallel') expect(ran.removals).toEqual([])
        // What ended says where it stands.
        for (const [server, outcome] of Object.entries(ran.outcomes)) {
          if (outcome === 'succeeded') expect(ran.releases[server]).toBe(newRelease)
          if (outcome === 'rolled-back' || outcome === 'pending') expect(ran.releases[server]).toBe(oldRelease)
          expect(ran.rotation[server] === 'out').toBe(ran.leftOut.includes(server))
        }
        // List scheduling: within work ÷ places + the longest, for the steps of a prepare of one group.
        if (ran.result === 'success' && p.prepare.length === 1) {
          const own = intervals.filter(i => i.step === 'p0')
          const work = own.reduce((sum, i) => sum + i.to - i.from, 0)
          const longest = Math.max(0, ...own.map(i => i.to - i.from))
          const span = Math.max(0, ...own.map(i => i.to)) - Math.min(...own.map(i => i.from), 0)
          expect(span).toBeLessThanOrEqual(work / p.limit + longest + 1e-6)
        }
      }),
      { numRuns: Number(process.env['PROCESS_RUNS'] ?? 600) },
    )
    for (const [what, times] of Object.entries(seen)) expect(times, what).toBeGreaterThan(0)
  })
})
