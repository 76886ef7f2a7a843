/** `plan`: reads what `deploy` would read, takes no lock, runs no step, writes nothing, and shows what would be done. */
import type { LoadBalancer, PreflightReport } from '../balancers/balancer.ts'
import { inRotation } from '../balancers/place.ts'
import type { Manifest, Server } from '../manifest/manifest.ts'
import { membersOf } from '../plan/membership.ts'
import type { Plan } from '../plan/plan.ts'
import { noShard, shardsOf } from '../plan/shards.ts'
import { type Standing, withStanding } from '../plan/standing.ts'
import type { Result } from '../report/events.ts'
import { createBoard, together } from '../rollout/board.ts'
import { askBalancers } from '../rollout/deployment.ts'
import { earlierReceipts } from '../rollout/ending.ts'
import { openSessions } from '../rollout/open-sessions.ts'
import { isUnreachable, type Session } from '../rollout/session.ts'
import { checkVariables } from './check-variables.ts'
import type { Context } from './context.ts'
import { confirmedBalancers, opening, planOf } from './equipment.ts'
import { fleetOf } from './open-fleet.ts'
import { ofHead } from './preview-head.ts'
import { selectionOf } from './shard.ts'
import { materialOf, migratorOf, withScratch } from './site.ts'

export async function plan(asked: Context): Promise<Result> {
  const c = await ofHead(asked)
  const { request, manifest, emit, cancel } = c
  const { all, own: selected, shard } = selectionOf(request, manifest)
  if (all.length === 0) {
    c.showSharding(noShard)
    emit({ type: 'message', level: 'notice', text: 'Nothing to do: the input servers is [].' })
    return 'success'
  }
  checkVariables(manifest, request, selected)
  return withScratch<Result>(request.temp, async scratch => {
    const material = await materialOf(request, manifest, scratch, emit, cancel)
    const fleet = fleetOf(c)
    try {
      emit({ type: 'phase', phase: 'preflight' })
      const opened = await openSessions({
        ...opening(c, material, fleet),
        servers: selected,
        environment: manifest.servers,
        // The first one has a lock and a copy of the stored waits in every deployment, whichever servers it selects.
        alsoRead: [...new Set([...migratorOf(manifest), ...manifest.servers.slice(0, 1)])],
        unreachable: manifest.rollout.unreachable,
        elsewhere: shard !== null,
        lock: null,
      })
      const { failed } = opened
      const board = createBoard(emit)
      for (const [server, error] of [...failed, ...opened.unreachable])
        board.fail(server, error, 'preflight', isUnreachable(error) ? 'unreachable' : 'failed')
      if (failed.size > 0) {
        board.close(selected.map(s => s.name))
        throw together(failed, 'preflight')
      }
      let made = await planOf(c, material, opened)
      // A plan runs no script: balancers that are driven by scripts are asked when it is carried out.
      const scripted = (name: string) => manifest.load_balancers[name]?.provider === 'command'
      const asked = new Set(made.servers.flatMap(s => s.balancers).filter(name => !scripted(name)))
      const balancers = confirmedBalancers(c, made, asked)
      let away: ReturnType<typeof outside> = {}
      try {
        const { listening, standing, said } = watched(balancers)
        await askBalancers({ manifest, emit, cancel }, listening)
        made = withStanding(manifest, made, await standing(c, opened.sessions, made))
        away = outside(manifest, all, said)
      } finally {
        for (const balancer of balancers.values()) balancer.close?.()
      }
      if (request.shard === null) c.showSharding(shardsOf(manifest, request, made, away))
      c.showPlan(made)
      return 'success'
    } finally {
      fleet.close()
    }
  })
}

type Said = ReadonlyMap<string, PreflightReport['rotation']>

/** By balancer, servers that are not selected and not in service: what may be out is theirs already. */
const outside = (manifest: Manifest, selected: readonly Server[], said: Said) =>
  Object.fromEntries(
    [...said].map(([balancer, rotation]) => [
      balancer,
      membersOf(manifest, balancer)
        .filter(server => !selected.includes(server) && rotation[server.name]?.state !== 'serving')
        .map(server => server.name),
    ]),
  )

/** Balancers that keep what they answered in preflight, and what it means for each server. */
function watched(balancers: ReadonlyMap<string, LoadBalancer>) {
  const said = new Map<string, PreflightReport['rotation']>()
  const listen = ([name, balancer]: [string, LoadBalancer]): [string, LoadBalancer] => [
    name,
    {
      ...balancer,
      async preflight(servers, signal) {
        const report = await balancer.preflight(servers, signal)
        said.set(name, report.rotation)
        return report
      },
    },
  ]
  const standingOf = async (c: Context, session: Session, names: readonly string[]): Promise<Standing> => {
    const receipts = earlierReceipts(session, c.manifest)
    const out = names.filter(name => {
      const rotation = said.get(name)?.[session.server.name]
      return rotation !== undefined && !inRotation(rotation)
    })
    const ours: string[] = []
    for (const name of out) {
      const receipt = receipts.find(r => r.balancer === name)
      if (receipt !== undefined && ((await balancers.get(name)?.isOurs?.(receipt, c.cancel)) ?? true)) ours.push(name)
    }
    return { ours, operators: out.filter(name => !ours.includes(name)) }
  }
  return {
    said: said as Said,
    listening: new Map([...balancers].map(listen)),
    async standing(c: Context, sessions: ReadonlyMap<string, Session>, plan: Plan) {
      const each = plan.servers.map(async ({ name, balancers: behind }) => {
        const session = sessions.get(name)
        return session === undefined ? [] : [[name, await standingOf(c, session, behind)] as const]
      })
      return Object.fromEntries((await Promise.all(each)).flat())
    },
  }
}
