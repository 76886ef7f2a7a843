import { describe, expect, it } from 'vitest'
import { BalancerError, LockLostError, StepError } from '../../src/errors.ts'
import type { Assignment, Ended, Found } from '../../src/rollout/hands-contract.ts'
import { goServer } from '../../src/rollout/server.ts'
import { type Faults, fakeHands, receipt, type World } from './fake-hands.ts'

const job: Assignment = { server: 'web1', target: 'new', previous: 'old', mode: 'taken out', onFailure: 'stop' }
const boom = new StepError('exit code 1')
const badOnly = (bad: string) => (release: string | null) => (release === bad ? boom : undefined)

async function go(faults: Faults = {}, more: Partial<Assignment> = {}, found?: Found): Promise<Ended & World> {
  const { hands, world } = fakeHands(faults, found)
  const end = await goServer({ ...job, ...more }, hands)
  return { ...end, ...world, ...('rotation' in end ? { rotation: end.rotation } : {}) } as Ended & World
}
/** The state of the outside, as the world has it, beside what the way said. */
async function outside(faults: Faults = {}, more: Partial<Assignment> = {}, found?: Found) {
  const { hands, world } = fakeHands(faults, found)
  return { end: await goServer({ ...job, ...more }, hands), world }
}

describe('a server that nothing goes wrong with', () => {
  it('is taken out, drained, switched, activated, verified and put back', async () => {
    const { end, world } = await outside()
    expect(end).toMatchObject({ outcome: 'succeeded', rotation: 'in', leftOut: false, switched: true })
    expect(world.stages).toEqual(['removing', 'draining', 'switching', 'activating', 'verifying', 'adding', 'done'])
    expect(world.calls).toEqual(['look', 'mayLeave', 'look', 'takeOut', 'switchTo', 'activate', 'verify', 'putBack'])
    expect(world).toMatchObject({ rotation: 'in', current: 'new', running: 'new' })
  })
  it('writes its receipt to the journal before it is removed', async () => {
    const { hands, world } = fakeHands()
    const order: string[] = []
    await goServer(job, {
      ...hands,
      note: async w => void order.push(`journal ${w}`),
      takeOut: r => {
        order.push('takeOut')
        return hands.takeOut(r)
      },
    })
    expect(order.slice(0, 2)).toEqual(['journal removing', 'takeOut'])
    expect(world.current).toBe('new')
  })
  it('is never written to a balancer for in place', async () => {
    const { end, world } = await outside({}, { mode: 'in place' })
    expect(end).toMatchObject({ outcome: 'succeeded', rotation: 'none' })
    expect(world.calls).toEqual(['switchTo', 'activate', 'verify'])
  })
})

describe('a server found out of rotation at its turn', () => {
  it('is an operator’s: deployed, and stays out', async () => {
    const { end, world } = await outside({}, {}, { serving: [], ours: [], operators: ['edge'] })
    expect(end).toMatchObject({ outcome: 'succeeded', keptOut: true, leftOut: false, rotation: 'out' })
    expect(world.calls).toEqual(['look', 'switchTo', 'activate', 'verify'])
  })
  it('is ours of an earlier deployment: deployed without removal, and goes back', async () => {
    const { end, world } = await outside({}, {}, { serving: [], ours: [receipt], operators: [] })
    expect(end).toMatchObject({ outcome: 'succeeded', keptOut: false, rotation: 'in' })
    expect(world.calls).toEqual(['look', 'switchTo', 'activate', 'verify', 'putBack'])
  })
})

describe('the table of failures', () => {
  it('remove refused: restored, failed, in rotation', async () => {
    const { end, world } = await outside({ takeOut: () => 'the balancer refused' })
    expect(end).toMatchObject({
      outcome: 'failed',
      rotation: 'in',
      leftOut: false,
      switched: false,
      failure: { message: 'the balancer refused' },
    })
    expect(world).toMatchObject({ current: 'old', rotation: 'in' })
    expect(world.calls.at(-1)).toBe('putBack')
  })
  it('remove refused and the restore is not confirmed: left out', async () => {
    const end = await go({ takeOut: () => 'refused', putBack: () => ({ state: 'unhealthy', reason: 'L4CON' }) })
    expect(end).toMatchObject({ outcome: 'failed', leftOut: true, rotation: 'out', receipts: [receipt] })
    expect(end.failure?.hint).toContain('L4CON')
  })
  it('the receipt cannot be read: nothing was done, in rotation', async () => {
    const { end, world } = await outside({ look: () => new BalancerError('no answer') })
    expect(end).toMatchObject({ outcome: 'failed', rotation: 'in', leftOut: false })
    expect(world.calls).toEqual(['look'])
  })
  it('min_in_service forbids it to leave: nothing was done', async () => {
    const { end, world } = await outside({ mayLeave: 'only 1 in service' })
    expect(end).toMatchObject({ outcome: 'failed', rotation: 'in', failure: { message: 'only 1 in service' } })
    expect(world.calls).toEqual(['look', 'mayLeave', 'look'])
  })
  it('serving again just before the switch: removed once more', async () => {
    const { end, world } = await outside({ servesAgain: n => n === 1 })
    expect(end.outcome).toBe('succeeded')
    expect(world.calls.filter(c => c === 'takeOut')).toHaveLength(2)
  })
  it('serving again each time: removed twice more at most, then restored and failed', async () => {
    const { end, world } = await outside({ servesAgain: () => true })
    expect(end).toMatchObject({ outcome: 'failed', rotation: 'in', switched: false })
    expect(world.calls.filter(c => c === 'takeOut')).toHaveLength(3)
    expect(world).toMatchObject({ current: 'old', rotation: 'in' })
  })
  it('switching, current unchanged: restored, failed, in rotation', async () => {
    const { end, world } = await outside({ switchTo: () => ({ changed: false, error: boom }) })
    expect(end).toMatchObject({ outcome: 'failed', rotation: 'in', switched: false })
    expect(world).toMatchObject({ current: 'old', rotation: 'in' })
  })
  it('switching, current changed: as activating', async () => {
    const { end } = await outside({ switchTo: () => ({ changed: true, error: boom }) })
    expect(end).toMatchObject({ outcome: 'failed', leftOut: true, switched: true, rotation: 'out' })
  })
  it.each(['activate', 'verify'] as const)('%s, taken out, stop: left as it is, out of rotation', async what => {
    const { end, world } = await outside({ [what]: badOnly('new') })
    expect(end).toMatchObject({ outcome: 'failed', leftOut: true, rotation: 'out', receipts: [receipt] })
    expect(world).toMatchObject({ current: 'new', rotation: 'out' })
    expect(world.stages.at(-1)).toBe('left-out')
  })
  it.each(['activate', 'verify'] as const)(
    '%s, taken out, rollback: previous release, verified, restored',
    async what => {
      const { end, world } = await outside({ [what]: badOnly('new') }, { onFailure: 'rollback' })
      expect(end).toMatchObject({ outcome: 'rolled-back', leftOut: false, rotation: 'in', switched: false })
      expect(world).toMatchObject({ current: 'old', running: 'old', rotation: 'in' })
      expect(world.calls.slice(-4)).toEqual(['switchTo', 'activate', 'verify', 'putBack'])
    },
  )
  it.each([
    ['activate', 'stop'],
    ['activate', 'rollback'],
    ['verify', 'stop'],
    ['verify', 'rollback'],
  ] as const)('%s in place, %s: back in place at once', async (what, onFailure) => {
    const { end, world } = await outside({ [what]: badOnly('new') }, { mode: 'in place', onFailure })
    expect(end).toMatchObject({ outcome: 'rolled-back', leftOut: false })
    expect(world).toMatchObject({ current: 'old', running: 'old' })
    expect(world.calls.some(c => c === 'putBack' || c === 'takeOut')).toBe(false)
  })
  it('back in place fails too: failed, "still serving a failed release"', async () => {
    const { end } = await outside({ activate: () => boom }, { mode: 'in place' })
    expect(end).toMatchObject({ outcome: 'failed', leftOut: false })
    expect(end.failure?.message).toMatch(/still serving a failed release: going back to old failed/)
  })
  it('without a previous release there is nothing to go back to', async () => {
    expect((await go({ verify: () => boom }, { mode: 'in place', previous: null })).failure?.message).toMatch(
      /no previous release/,
    )
    expect(await go({ verify: () => boom }, { onFailure: 'rollback', previous: null })).toMatchObject({
      outcome: 'failed',
      leftOut: true,
    })
  })
  it('adding, unhealthy (removed again by the controller), stop: left out', async () => {
    const end = await go({ putBack: () => ({ state: 'unhealthy', reason: 'L7STS 500' }) })
    expect(end).toMatchObject({
      outcome: 'failed',
      leftOut: true,
      rotation: 'out',
      failure: { stage: 'adding', message: 'L7STS 500' },
    })
  })
  it('adding, unhealthy, rollback: the previous release goes back', async () => {
    const { end, world } = await outside(
      { putBack: n => (n === 1 ? { state: 'unhealthy', reason: 'L7STS' } : undefined) },
      { onFailure: 'rollback' },
    )
    expect(end).toMatchObject({ outcome: 'rolled-back', rotation: 'in' })
    expect(world).toMatchObject({ current: 'old', rotation: 'in' })
  })
  it('adding, the balancer cannot be written or read: failed, rotation unknown, never a rollback', async () => {
    for (const onFailure of ['stop', 'rollback'] as const) {
      const { end, world } = await outside(
        { putBack: () => ({ state: 'unknown', reason: 'no answer' }) },
        { onFailure },
      )
      expect(end).toMatchObject({ outcome: 'failed', rotation: 'unknown', balancerFault: true })
      expect(world.current).toBe('new')
      expect(world.calls.filter(c => c === 'switchTo')).toHaveLength(1)
    }
  })
  it('rolling back fails: failed, left out', async () => {
    const { end } = await outside({ verify: () => boom }, { onFailure: 'rollback' })
    expect(end).toMatchObject({ outcome: 'failed', leftOut: true, rotation: 'out' })
    expect(end.failure?.message).toMatch(/going back to old failed/)
  })
  it('the lease is lost: nothing more, the journal stays open', async () => {
    const { end, world } = await outside({ activate: () => new LockLostError('taken over') })
    expect(end).toMatchObject({ outcome: 'failed', open: true, leftOut: false })
    expect(world.calls.at(-1)).toBe('activate')
  })
})

describe('a deployment that stops', () => {
  it('sends a server that is drained and not switched straight back, pending', async () => {
    let stop = false
    const { end, world } = await outside({
      stopped: () => stop,
      takeOut: () => {
        stop = true
        return undefined
      },
    })
    expect(end).toMatchObject({ outcome: 'pending', rotation: 'in', switched: false })
    expect(world).toMatchObject({ current: 'old', rotation: 'in' })
  })
  it('lets a switched server finish', async () => {
    let stop = false
    const { end } = await outside({
      stopped: () => stop,
      switchTo: () => {
        stop = true
        return undefined
      },
    })
    expect(end.outcome).toBe('succeeded')
  })
})

describe('a cancel', () => {
  it('writes a drained, unchanged server back without waiting', async () => {
    let cancelled = false
    const { end, world } = await outside({
      cancelled: () => cancelled,
      takeOut: () => {
        cancelled = true
        return 'aborted'
      },
    })
    expect(end).toMatchObject({ outcome: 'pending', open: true })
    expect(world.calls.at(-1)).toBe('writeBack')
    expect(world.rotation).toBe('in')
  })
  it('leaves a switched server to the next run, its journal open', async () => {
    let cancelled = false
    const { end, world } = await outside({
      cancelled: () => cancelled,
      activate: () => {
        cancelled = true
        return boom
      },
    })
    expect(end).toMatchObject({ outcome: 'failed', leftOut: true, open: true })
    expect(world.calls).not.toContain('putBack')
  })
})

describe('a server that goes back with the whole deployment', () => {
  const back = (mode: Assignment['mode'], faults: Faults = {}) => {
    const { hands, world } = fakeHands(faults)
    world.current = 'new'
    world.running = 'new'
    return goServer({ server: 'web1', target: 'old', previous: null, mode, onFailure: 'stop', back: true }, hands).then(
      end => ({ end, world }),
    )
  }
  it('is taken out, switched, activated, verified and put back, on what it ran before', async () => {
    const { end, world } = await back('taken out')
    expect(end).toMatchObject({ outcome: 'rolled-back', rotation: 'in', switched: false })
    expect(world).toMatchObject({ current: 'old', running: 'old', rotation: 'in' })
    expect(world.journal).toEqual(['removing', 'rolling-back', 'activated'])
    expect(world.stages).toEqual(['removing', 'draining', 'rolling back', 'rolled-back'])
  })
  it('goes back in place where nothing is taken out', async () => {
    const { end, world } = await back('in place')
    expect(end).toMatchObject({ outcome: 'rolled-back', rotation: 'none' })
    expect(world.calls).toEqual(['switchTo', 'activate', 'verify'])
  })
  it('is left out when that fails, with the reason', async () => {
    const { end } = await back('taken out', { verify: () => new StepError('503') })
    expect(end).toMatchObject({ outcome: 'failed', leftOut: true, failure: { message: 'going back to old: 503' } })
  })
  it('stays as it is when it cannot be taken out', async () => {
    const { end, world } = await back('taken out', { mayLeave: 'only 1 would remain' })
    expect(end).toMatchObject({ outcome: 'failed', rotation: 'in', balancerFault: false })
    expect(world).toMatchObject({ current: 'new', calls: ['look', 'mayLeave', 'look'] })
  })
})
