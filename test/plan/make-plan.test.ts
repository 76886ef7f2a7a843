import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InputError } from '../../src/errors.ts'
import type { Manifest } from '../../src/manifest/manifest.ts'
import type { Plan } from '../../src/plan/plan.ts'
import { withStanding } from '../../src/plan/standing.ts'
import { haproxy, manifest, type Shape } from './manifests.ts'
import { planned } from './plans.ts'

const three: Shape['servers'] = [
  { name: 'web1', roles: ['web'] },
  { name: 'web2', roles: ['web'] },
  { name: 'job1', roles: ['worker'] },
]

describe('the strategy, highest first', () => {
  const keys = { rollout: { strategy: 'parallel' }, migrate: 'rake db:migrate' }
  it('is serial when migrations are enabled, whatever was asked', () => {
    const made = planned(manifest({ servers: three, keys }), { strategy: 'parallel' })
    expect(made.strategy).toMatchObject({ value: 'serial', origin: 'gate' })
    expect(made.notices.join()).toMatch(/serial: migrations are enabled.*parallel was asked for/)
  })
  it("is the input's when the gate is open", () => {
    expect(planned(manifest({ servers: three, keys }), { strategy: 'serial', migrate: false }).strategy).toMatchObject({
      value: 'serial',
      origin: 'input',
    })
  })
  it("is the manifest's when the input is auto", () => {
    expect(planned(manifest({ servers: three, keys }), { migrate: false }).strategy).toMatchObject({
      value: 'parallel',
      origin: 'manifest',
    })
  })
  it.each([
    ['puma', 'parallel'],
    ['unicorn', 'parallel'],
    ['passenger-enterprise', 'parallel'],
    ['thin', 'serial'],
    ['passenger', 'serial'],
    ['other', 'serial'],
  ])('is by default, for web_server %s, %s', (web_server, value) => {
    expect(planned(manifest({ servers: three, keys: { web_server } })).strategy).toMatchObject({
      value,
      origin: 'default',
    })
  })
  it('warns when parallel came by default and balancers are configured', () => {
    const made = planned(
      manifest({ servers: three, keys: { web_server: 'puma', load_balancers: { edge: haproxy(['web']) } } }),
    )
    expect(made.warnings.join()).toMatch(/Parallel by default \(web_server: puma\)/)
    expect(planned(manifest({ servers: three, keys: { web_server: 'puma' } })).warnings).toEqual([])
  })
  it("goes group by group by the group's own, and the input goes before that", () => {
    const m = manifest({
      servers: three,
      keys: {
        rollout: {
          groups: [
            { roles: 'worker', strategy: 'parallel' },
            { roles: 'web', strategy: 'serial' },
          ],
        },
      },
    })
    expect(planned(m).groups.map(g => [g.name, g.strategy, g.servers])).toEqual([
      ['worker', 'parallel', ['job1']],
      ['web', 'serial', ['web1', 'web2']],
    ])
    expect(planned(m, { strategy: 'parallel' }).groups.map(g => g.strategy)).toEqual(['parallel', 'parallel'])
  })
})

describe('max_parallelism', () => {
  it('is the input’s, else the manifest’s, else ten, and says so', () => {
    const m = manifest({
      servers: three,
      keys: { rollout: { max_parallelism: '4' } },
      written: ['rollout.max_parallelism'],
    })
    expect(planned(m, { maxParallelism: 2 }).maxParallelism).toMatchObject({ value: 2, origin: 'input' })
    expect(planned(m).maxParallelism).toMatchObject({ value: 4, origin: 'manifest' })
    expect(planned(manifest({ servers: three })).maxParallelism).toMatchObject({ value: 10, origin: 'default' })
  })
  it('does not make serial anything but one at a time', () => {
    expect(planned(manifest({ servers: three }), { maxParallelism: 8 }).groups.map(g => g.limit)).toEqual([1])
    expect(
      planned(manifest({ servers: three }), { maxParallelism: 8, strategy: 'parallel' }).groups.map(g => g.limit),
    ).toEqual([8])
  })
})

describe('the waits', () => {
  const edge = (more: Record<string, unknown>) =>
    manifest({
      servers: three,
      keys: {
        load_balancers: {
          edge: haproxy(['web'], { wait_after_removing_servers: '10', wait_after_adding_servers: '5', ...more }),
        },
      },
    })
  it('add (removing + adding) × servers removed under serial', () => {
    const made = planned(edge({}))
    expect(made.waits).toEqual([
      {
        balancer: 'edge',
        removing: 10,
        adding: 5,
        sources: { removing: { from: 'manifest' }, adding: { from: 'manifest' } },
        servers: 2,
        adds: 30,
        reason: '(10 s + 5 s) × 2',
      },
    ])
    expect(made.addedSeconds).toBe(30)
  })
  it('add (removing + adding) × servers removed ÷ servers at once under rolling, stage by stage', () => {
    const servers = Array.from({ length: 7 }, (_, i) => ({ name: `web${i + 1}`, roles: ['web'] }))
    const of = (rollout: Record<string, unknown>) => {
      const keys = {
        rollout: { strategy: 'rolling', ...rollout },
        load_balancers: { edge: haproxy(['web'], { wait_after_removing_servers: '10' }) },
      }
      const made = planned(manifest({ servers, keys }))
      return [made.waits[0]?.adds, made.addedSeconds]
    }
    expect(of({ max_parallelism: '2', batch: '100%' })).toEqual([40, 40])
    expect(of({ max_parallelism: '3', batch: ['1', '100%'] })).toEqual([30, 30])
    expect(of({ max_parallelism: '2' })).toEqual([40, 40]) // stages of 4 and 3
    expect(of({ max_parallelism: '10', batch: '100%', min_in_service: '5' })).toEqual([40, 40]) // two at a time may leave
  })
  it('add nothing for a server that is skipped, or was found out of rotation and stays out', () => {
    const m = edge({})
    expect(planned(m, {}, { done: ['web1'] }).addedSeconds).toBe(15)
    const made = withStanding(m, planned(m), { web2: { ours: [], operators: ['edge'] } })
    expect(made).toMatchObject({ addedSeconds: 15, servers: [{ keptOut: [] }, { keptOut: ['edge'] }, {}] })
  })
  it('are those that were stored where the manifest names none, with a warning and the line to write', () => {
    const stored = { seconds: 7, deployment: 'abcdefgh-1', run: null, at: 1_700_000_000 }
    const waits = { sequence: 1, balancers: { edge: { removing: stored, adding: stored } } }
    const believed = { waits, copies: 2, held: ['web1', 'web2'], doubted: null }
    const m = manifest({
      servers: three,
      keys: { load_balancers: { edge: haproxy(['web'], { wait_after_adding_servers: '5' }) } },
    })
    const made = planned(m, {}, { storedWaits: believed })
    expect(made.waits).toMatchObject([
      { removing: 7, adding: 5, adds: 24, sources: { removing: { from: 'stored' }, adding: { from: 'manifest' } } },
    ])
    expect(made.warnings).toEqual([
      expect.stringMatching(
        /^edge: .* 7 s stay in force, stored by the deployment of 2023-11-14 22:13:20 UTC \(abcdefgh\)\. Write `wait_after_removing_servers: 7`/,
      ),
    ])
    expect(planned(m, { strategy: 'parallel' }, { storedWaits: believed })).toMatchObject({ waits: [], warnings: [] })
    const alone = { ...believed, held: ['web2'] }
    expect(planned(m, {}, { storedWaits: alone }).warnings.join()).toContain('by the word of web2 alone')
  })
  it('add nothing under parallel', () =>
    expect(planned(edge({}), { strategy: 'parallel' })).toMatchObject({ waits: [], addedSeconds: 0 }))
  it('count the largest of several balancers once for each server', () => {
    const m = manifest({
      servers: three,
      keys: {
        load_balancers: {
          a: haproxy(['web'], { wait_after_removing_servers: '10' }),
          b: haproxy(['web'], { wait_after_removing_servers: '4', wait_after_adding_servers: '3' }),
        },
      },
    })
    expect(planned(m).addedSeconds).toBe(26)
  })
})

describe('min_in_service', () => {
  const behind = (names: number, more: Record<string, unknown> = {}) =>
    manifest({
      servers: Array.from({ length: names }, (_, i) => ({ name: `web${i + 1}` })),
      keys: { load_balancers: { edge: haproxy([], more) } },
    })
  it('leaves a balancer’s only server in place, with a notice', () => {
    const made = planned(behind(1))
    expect(made.servers[0]).toMatchObject({
      balancers: [],
      inPlace: expect.stringContaining('only server behind edge'),
    })
    expect(made.notices.join()).toContain('web1 is deployed in place')
  })
  it('takes the only server out when min_in_service is 0', () =>
    expect(planned(behind(1, { min_in_service: '0' })).servers[0]).toMatchObject({
      balancers: ['edge'],
      inPlace: null,
    }))
  it('refuses what can never be satisfied', () =>
    expect(() => planned(behind(2, { min_in_service: '100%' }))).toThrow(/2 of the 2 servers behind edge/))
  it('is rounded up', () => expect(() => planned(behind(3, { min_in_service: '67%' }))).toThrow(/3 of the 3/))
  it('does not matter under parallel', () =>
    expect(planned(behind(2, { min_in_service: '2' }), { strategy: 'parallel' }).servers.map(s => s.balancers)).toEqual(
      [[], []],
    ))
})

// ---- for every manifest and request ------------------------------------------------------------------------------------

const roles = ['web', 'worker', 'db'] as const
const anyShape = fc.record({
  servers: fc
    .array(fc.subarray([...roles]), { minLength: 1, maxLength: 12 })
    .map(list => list.map((r, i) => ({ name: `s${i}`, roles: r }))),
  strategy: fc.option(fc.constantFrom('serial', 'parallel'), { nil: undefined }),
  web: fc.constantFrom('puma', 'other', 'thin'),
  groups: fc.subarray([...roles]),
  groupStrategy: fc.option(fc.constantFrom('serial', 'parallel'), { nil: undefined }),
  balancers: fc.array(fc.subarray([...roles]), { maxLength: 3 }),
  migrate: fc.option(
    fc.record({ role: fc.option(fc.constantFrom(...roles), { nil: undefined }), paths: fc.boolean() }),
    { nil: undefined },
  ),
  input: fc.record({
    strategy: fc.constantFrom(null, 'serial' as const, 'parallel' as const),
    maxParallelism: fc.option(fc.integer({ min: 1, max: 20 })),
    migrate: fc.constantFrom(null, true, false),
    servers: fc.constantFrom('all', 's0', '!s0', 's*', 'role:web', '[]'),
  }),
  migration: fc.record({
    done: fc.boolean(),
    underWay: fc.boolean(),
    changed: fc.constantFrom(null, { since: 'abc', files: [] }, { since: 'abc', files: ['db/1'] }),
  }),
})
type Any = typeof anyShape extends fc.Arbitrary<infer T> ? T : never

const build = (a: Any): Manifest =>
  manifest({
    servers: a.servers,
    keys: {
      web_server: a.web,
      rollout: {
        ...(a.strategy ? { strategy: a.strategy } : {}),
        groups: a.groups.map(r => ({ roles: r, ...(a.groupStrategy ? { strategy: a.groupStrategy } : {}) })),
      },
      load_balancers: Object.fromEntries(a.balancers.map((r, i) => [`lb${i}`, haproxy(r)])),
      ...(a.migrate
        ? {
            migrate: {
              run: 'migrate',
              ...(a.migrate.role ? { roles: a.migrate.role } : {}),
              ...(a.migrate.paths ? { paths: 'db/' } : {}),
            },
          }
        : {}),
    },
  })

/** Plans whatever can be planned; a refusal must be one for the person who asked. */
function everyPlan(check: (made: Plan, a: Any, m: Manifest) => void) {
  let count = 0
  fc.assert(
    fc.property(anyShape, a => {
      const m = build(a)
      let made: Plan
      try {
        made = planned(m, a.input, { migration: a.migration })
      } catch (error) {
        expect(error).toBeInstanceOf(InputError)
        return
      }
      count++
      check(made, a, m)
    }),
    { numRuns: 1500 },
  )
  expect(count).toBeGreaterThan(300)
}

describe('for every manifest and request', () => {
  it('serial never runs two at a time', () =>
    everyPlan(made => {
      for (const g of made.groups) if (g.strategy === 'serial') expect(g.limit).toBe(1)
    }))
  it('parallel never removes a server from a balancer', () =>
    everyPlan(made => {
      for (const g of made.groups.filter(x => x.strategy === 'parallel'))
        for (const name of g.servers) expect(made.servers.find(s => s.name === name)?.balancers).toEqual([])
    }))
  it('the gate always wins', () =>
    everyPlan((made, a) => {
      if (!made.migration.enabled) return
      expect(made.strategy).toMatchObject({ value: 'serial', origin: 'gate' })
      for (const g of made.groups) expect(g.strategy).toBe('serial')
      expect(a.migrate).toBeDefined()
    }))
  it('a release that is half rolled out after its migration stays serial', () =>
    everyPlan((made, a) => {
      if (a.migrate && a.migration.underWay) expect(made.migration.enabled).toBe(true)
    }))
  it('no selected server is lost or doubled', () =>
    everyPlan(made => {
      const grouped = made.groups.flatMap(g => g.servers)
      expect([...grouped].sort()).toEqual(made.servers.map(s => s.name).sort())
      expect(new Set(grouped).size).toBe(grouped.length)
    }))
  it('the migration’s server goes first in its group', () =>
    everyPlan(made => {
      const { server } = made.migration
      for (const g of made.groups) if (server !== null && g.servers.includes(server)) expect(g.servers[0]).toBe(server)
    }))
  it('is the same plan twice', () =>
    everyPlan((made, a, m) => expect(planned(m, a.input, { migration: a.migration })).toEqual(made)))
})

describe('a rollback', () => {
  const m = manifest({
    servers: three,
    keys: { migrate: 'rake db:migrate', prepare: 'bundle', activate: 'restart', rollout: { strategy: 'parallel' } },
  })
  it('never migrates, is not gated, and says so', () => {
    for (const migrate of [null, true]) {
      const made = planned(m, { command: 'rollback', migrate })
      expect(made).toMatchObject({
        command: 'rollback',
        strategy: { value: 'parallel' },
        migration: { enabled: false },
      })
      expect(made.notices.join()).toContain('undoes no migration')
    }
  })
  it('prepares nothing', () =>
    expect(planned(m, { command: 'rollback' }).steps.map(s => s.phase)).toEqual(['activate']))
})

describe('servers that cannot be reached and are skipped', () => {
  it('are not in the plan, which says so', () => {
    const made = planned(manifest({ servers: three }), {}, { unreachable: ['web2'] })
    expect(made.servers.map(s => s.name)).toEqual(['web1', 'job1'])
    expect(made.warnings.join()).toContain('web2 cannot be reached and is skipped')
  })
  it('do not run the migration', () =>
    expect(() =>
      planned(manifest({ servers: three, keys: { migrate: 'rake db:migrate' } }), {}, { unreachable: ['web1'] }),
    ).toThrow('the migration has to run on web1, which cannot be reached'))
  it('do not count for max_failures', () => {
    const keys = { rollout: { max_failures: '50%' } }
    expect(planned(manifest({ servers: three, keys }), {}, { unreachable: ['web2'] }).maxFailures).toBe(1)
  })
})

describe('groups that say their own strategy', () => {
  const groups = [
    { roles: ['worker'], strategy: 'parallel' },
    { roles: ['web'], strategy: 'rolling' },
  ]
  it('are not told as a strategy that none of them has', () => {
    const made = planned(manifest({ servers: three, keys: { rollout: { groups } } }))
    expect(made.strategy).toMatchObject({ value: 'mixed', origin: 'manifest' })
    expect(made.strategy.reason).toMatch(/worker: parallel; web: rolling/)
  })
  it('of the gate: the notice says what was to apply', () => {
    const made = planned(manifest({ servers: three, keys: { rollout: { groups }, migrate: 'm' } }))
    expect(made.notices.join()).toMatch(/mixed was to apply/)
  })
  it('let servers that failed before go first of all, whichever group they are in', () => {
    const made = planned(manifest({ servers: three, keys: { rollout: { groups } } }), {}, { earlier: ['web2'] })
    expect(made.groups.map(g => [g.name, g.servers])).toEqual([
      ['web, failed before', ['web2']],
      ['worker', ['job1']],
      ['web', ['web1']],
    ])
  })
})
