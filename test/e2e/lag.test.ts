/**
 * A balancer that says "out" five seconds before it stops routing there, and "in" five seconds before it begins: through the bundle, with
 * real servers, under load. What the waits are for, and what `confirm` does without knowing the lag.
 */
import { afterEach, describe, expect, it } from 'vitest'
import { type LaggingProxy, laggingProxy } from '../support/lagging-proxy.ts'
import { type LoadReport, startLoads } from '../support/load.ts'
import type { ActionResult } from '../support/runner.ts'
import type { Site } from '../support/site.ts'
import { outcome, useSites } from '../support/use-site.ts'

const site = useSites()
const stops: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

interface Run {
  readonly result: ActionResult
  readonly failed: number
  readonly served: number
  readonly problems: readonly LoadReport['problems'][]
}

type Lag = Parameters<LaggingProxy['lag']>[0]
/** Longer than any run: what is lost without waits is lost on the slowest machine too. */
const endless = Number.POSITIVE_INFINITY

/** Two servers behind the proxy, and deployments of further releases with other settings of the same balancer. */
async function behind(usual: Lag) {
  // The site's own HAProxy has no users here; its health checks come as often as another balancer's would.
  const at: Site = await site({ servers: 2, startMs: 500, backend: { defaultServer: 'check inter 1s fall 2 rise 1' } })
  const proxy = await laggingProxy(at.servers.map(s => ({ name: s.name, port: s.appPort })))
  stops.push(() => proxy.stop())
  let version = 1
  return async (settings: Readonly<Record<string, unknown>>, lag = usual): Promise<Run> => {
    version++
    proxy.lag(lag)
    // Waits are remembered: what is not wanted is written as 0.
    const none = { wait_after_removing_servers: 0, wait_after_adding_servers: 0 }
    const edge = { provider: 'command', roles: ['web'], ...proxy.scripts, ...none, ...settings }
    at.manifest({ load_balancers: { edge } })
    at.change({ version: String(version) })
    const load = await startLoads(proxy.url, { clients: 6 })
    await load.more(50)
    const result = await at.deploy()
    // What it told last comes into effect under load too.
    const end = performance.now() + usual.in
    if (lag.in === endless) proxy.settle()
    else while (performance.now() < end) await load.more(20)
    await load.more(50)
    const { short, slow } = await load.stop()
    expect(result.code, result.log).toBe(0)
    expect(outcome(result)).toEqual({ succeeded: ['web1', 'web2'] })
    return {
      result,
      failed: short.failed + slow.failed,
      served: short.served + slow.served,
      problems: [short.problems, slow.problems],
    }
  }
}

const told = (title: string, runs: Readonly<Record<string, Run>>) =>
  console.log(
    [
      title,
      ...Object.entries(runs).map(
        ([name, { result, failed, served }]) =>
          `  ${name}: ${result.seconds.toFixed(1)} s, ${failed} failed of ${served + failed}`,
      ),
    ].join('\n'),
  )
const nothing = { failed: 0, problems: [{}, {}] }

describe('a balancer that reports out and in five seconds early', () => {
  it('loses requests without waits, none with waits of eight seconds, none with confirm, and that sooner', {
    timeout: 900_000,
  }, async () => {
    const deploy = await behind({ out: 5000, in: 5000 })
    const without = await deploy({}, { out: endless, in: endless })
    const waits = await deploy({ wait_after_removing_servers: 8, wait_after_adding_servers: 8 })
    const confirm = await deploy({ confirm: { quiet_for: '3s' } })
    const both = await deploy({ confirm: { quiet_for: '3s', traffic_within: '60s' } })
    told('out and in 5 s early:', {
      'no waits': without,
      'waits of 8 s': waits,
      confirm,
      'confirm and traffic_within': both,
    })
    expect(without.failed).toBeGreaterThan(0)
    expect(waits).toMatchObject(nothing)
    expect(confirm).toMatchObject(nothing)
    expect(both).toMatchObject(nothing)
    expect(confirm.result.log).toContain('each server watches its own traffic (confirm)')
    expect(both.result.log).not.toContain('saw no traffic within')
    // Of 32 s of waits confirm needs 16 and what the polls take: many seconds are left for a machine that is slow only now and then.
    expect(confirm.result.seconds).toBeLessThan(waits.result.seconds)
  })

  /**
   * With one server at a time, a server that comes in late does harm only to the next one's removal: that one is really out while the
   * one before is not really in, and with two servers there is nobody. Behind the same lag on both sides the removals come no sooner
   * into effect than the additions before them; so here removals take effect at once.
   */
  it('where only "in" is early: waits after removing do not help, waits after adding and traffic_within do', {
    timeout: 900_000,
  }, async () => {
    const deploy = await behind({ out: 0, in: 5000 })
    const without = await deploy({}, { out: 0, in: endless })
    const removing = await deploy({ wait_after_removing_servers: 8 }, { out: 0, in: endless })
    const waits = await deploy({ wait_after_removing_servers: 8, wait_after_adding_servers: 8 })
    const confirm = await deploy({ confirm: { quiet_for: '1s', traffic_within: '60s' } })
    told('in 5 s early, out at once:', {
      'no waits': without,
      'waits of 8 s after removing only': removing,
      'waits of 8 s': waits,
      'confirm with traffic_within': confirm,
    })
    // Nobody is there: 503 is the proxy's own answer.
    for (const run of [without, removing]) expect(run.problems[0]?.['status 503'] ?? 0).toBeGreaterThan(0)
    expect(waits).toMatchObject(nothing)
    expect(confirm).toMatchObject(nothing)
    expect(confirm.result.log).not.toContain('saw no traffic within')
    expect(confirm.result.seconds).toBeLessThan(waits.result.seconds)
  })
})

describe('traffic_within', () => {
  it('warns of a server that sees none, and that is all; health checks and our own are none', {
    timeout: 400_000,
  }, async () => {
    const at = await site({ servers: 2, backend: { defaultServer: 'check inter 2s fall 2 rise 1' } })
    // Time for as many checks as are known for checks by most of them: a busy machine delays some.
    at.manifest({ load_balancers: { edge: { ...at.edge, confirm: { quiet_for: '2s', traffic_within: '45s' } } } })
    at.change({ version: '2' })
    const result = await at.deploy({ servers: 'web1' })
    expect(result.code, result.log).toBe(0)
    expect(outcome(result)).toEqual({ succeeded: ['web1'] })
    expect(result.log).toContain('edge says that web1 serves, and web1 saw no traffic within 45 s')
  })
})
