/** Servers, balancer and owners together, what goes wrong when, and what may never happen. */
import { BalancerError, CancelledError, ConnectionError } from '../../src/errors.ts'
import type { Connection, RunOptions, RunResult } from '../../src/fleet/connection.ts'
import type { Fleet } from '../../src/fleet/fleet.ts'
import { type Calls, loadBalancer, type ModelBalancer, modelBalancer } from './balancer.ts'
import type { Fault, Settings } from './faults.ts'
import { run as runScript } from './scripts.ts'
import { type Group, type ModelServer, modelServer } from './server.ts'
import { tagsOf } from './tags.ts'
import { type Owner, owner, randomFrom, type Timeline, timeline } from './timeline.ts'

export const names = ['web1', 'web2', 'web3'] as const
export const before = 'aaaaaaaaaaaa-00000000'
/** Of three. */
export const minInService = 1

export interface Process {
  readonly owner: Owner
  readonly cancel: AbortController
  readonly tokens: Set<string>
}

export interface World {
  readonly time: Timeline
  readonly servers: ReadonlyMap<string, ModelServer>
  readonly balancer: ModelBalancer
  /** What may never happen and did. */
  readonly violations: string[]
  readonly trace: string[]
  /** From now on everything goes well. */
  calm: boolean
  process(name: string): Process
  fleet(p: Process): Fleet
  balancerOf(p: Process, name: string): ReturnType<typeof loadBalancer>
}

export function world(settings: Settings): World {
  const random = randomFrom(settings.seed)
  const time = timeline(random)
  const servers = new Map(names.map(name => [name as string, modelServer(name, before)]))
  const balancer = modelBalancer(servers, time, settings.operators ? 'web3' : null)
  const violations: string[] = []
  const trace: string[] = []
  const migrated = new Map<string, number>()
  const faults = new Map(settings.faults.map(f => [f.at, f]))
  let effects = 0
  let groups = 0
  const say = (text: string) => void trace.push(`${(time.now() / 1000).toFixed(2).padStart(8)}  ${text}`)
  const wrong = (text: string) => {
    say(`!! ${text}`)
    violations.push(text)
  }
  const latency = () => 5 + random() * 35

  const isBad = (release: string) => settings.bad && release.startsWith('bbbb')
  const complete = () => {
    for (const s of servers.values()) {
      const there = s.current === null ? undefined : s.releases.get(s.current)
      if (there === undefined || !there.complete || !there.prepared || there.mark === null)
        wrong(`promise 3: current of ${s.name} is ${s.current}, which is not a complete, prepared release`)
    }
  }
  const changed = (s: ModelServer, token: string, what: string) => {
    say(`${s.name}: ${what}  (${token.slice(0, 4)})`)
    if (s.lock?.token !== token)
      wrong(`promise 5: ${what} on ${s.name} by ${token.slice(0, 4)}, while ${s.lock?.token?.slice(0, 4)} has the lock`)
    complete()
  }
  const on = {
    time,
    random,
    isBad,
    changed,
    migrated(release: string) {
      migrated.set(release, (migrated.get(release) ?? 0) + 1)
      if ((migrated.get(release) ?? 0) > 1) wrong(`promise 4: the migration of ${release} ran again`)
    },
  }

  function fault(p: Process, what: string, server: string | null): Fault | null {
    p.owner.begun = true
    if (w.calm) return null
    const found = faults.get(effects++) ?? null
    say(
      `${p.owner.name}: #${effects - 1} ${what} ${server ?? ''}${found === null ? '' : `  <- ${found.what} ${found.seconds}`}`,
    )
    if (found === null) return null
    switch (found.what) {
      case 'stop':
        p.owner.stop(found.seconds)
        break
      case 'sleep':
        p.owner.sleep(found.seconds)
        break
      case 'wall':
        p.owner.setWall(found.seconds)
        break
      case 'cut off':
        if (server !== null) p.owner.cutOff.set(server, time.now() + found.seconds * 1000)
        break
      case 'kill':
      case 'kill before':
        p.owner.kill()
        break
      case 'cancel':
        time.at(0, () => p.owner.deliver(() => p.cancel.abort(new CancelledError('cancelled'))))
        time.at(10_000, () => {
          if (!p.owner.dead()) p.owner.kill()
        })
        break
      case 'outage':
        balancer.outageUntil = time.now() + found.seconds * 1000
        break
      case 'reload':
        time.at(random() * 6000, () => {
          say('the balancer is reloaded')
          balancer.reload()
        })
        break
      case 'sick': {
        const member = balancer.members.get(names[Math.floor(random() * names.length)] ?? '')
        if (member !== undefined) member.sick = { from: time.now(), until: time.now() + found.seconds * 1000 }
        break
      }
      default:
    }
    return found
  }

  interface Line {
    readonly connection: Connection
    lose(alsoGroups: boolean): void
  }

  function line(p: Process, s: ModelServer): Line {
    const closed = new AbortController()
    const open = new Set<{ lose(): void; readonly group: Group }>()
    const isCut = () => (p.owner.cutOff.get(s.name) ?? 0) > time.now()
    const lose = (alsoGroups: boolean) => {
      if (closed.signal.aborted) return
      closed.abort()
      for (const script of [...open]) {
        script.lose()
        if (alsoGroups && !script.group.others) script.group.end()
      }
    }
    // A machine that is gone says nothing: what it started goes on until somebody ends it.
    p.owner.onDeath(() => lose(random() < 0.5))

    const run = (script: string, options: RunOptions) =>
      new Promise<RunResult>((resolve, reject) => {
        const tags = tagsOf(script)
        const what = tags.at(-1)?.of ?? '?'
        const user = tags.find(t => t.of === 'stepScript')?.args[0] as unknown as { script: string } | undefined
        const shown = user === undefined ? what : `${what} ${user.script}`
        const take = tags.find(t => t.of === 'takeLock')
        if (take !== undefined) p.tokens.add((take.args[1] as unknown as { token: string }).token)
        const printed = { out: '', err: '' }
        let [answered, over] = [false, false]
        type Ending = Pick<RunResult, 'ended'> & Record<string, unknown>
        const answer = (ms: number, ending: Ending) => {
          if (answered) return
          answered = true
          open.delete(here)
          time.at(ms, () =>
            p.owner.deliver(() => {
              if (printed.err !== '') options.onOutput?.({ stream: 'err', text: printed.err })
              resolve({ stdout: printed.out, stderr: printed.err, ...ending } as RunResult)
            }),
          )
        }
        if (options.signal.aborted) return answer(0, { ended: 'cancelled' })
        if (closed.signal.aborted) {
          p.owner.deliver(() => reject(new ConnectionError(`${s.name}: closed`, { server: s.name })))
          return
        }
        const group: Group = {
          id: 100 + groups++,
          others: settings.sudo && user !== undefined && what === 'fenced',
          alive: () => !over,
          end() {
            if (over) return
            over = true
            say(`${s.name}: ${shown} was ended`)
            answer(latency(), { ended: 'signal', name: 'TERM' })
          },
        }
        const here = { group, lose: () => answer(0, { ended: 'lost', reason: 'closed' }) }
        open.add(here)
        const hit = what === 'renewLock' ? null : fault(p, shown, s.name)
        options.signal.addEventListener('abort', () => {
          // It is seen ended before the owner is told; of a server that is cut off nothing is seen.
          time.at(isCut() ? 3000 : latency(), () => {
            answer(latency(), { ended: 'cancelled' })
            if (!isCut() && !group.others) group.end()
          })
        })
        time.at(options.timeout * 1000, () => {
          if (answered) return
          if (!isCut() && !group.others) group.end()
          answer(0, { ended: 'timeout' })
        })
        if (hit?.what === 'lost' || hit?.what === 'lost, runs on') {
          const ms = hit.seconds < 0 ? 0 : hit.seconds * hit.seconds
          time.at(ms, () => lose(hit.what === 'lost'))
          if (hit.seconds <= 0) return
        }
        if (hit?.what === 'kill before') return
        if (isCut()) {
          time.at(45_000, () => lose(false))
          return
        }
        const how = { fails: hit?.what === 'fails', hangs: hit?.what === 'hangs' }
        const program = runScript({ script, s, on, printed, group, ...how }, tags)
        let begun = false
        const go = () => {
          // What has not begun when its connection is lost begins no more; of one that died it may still be on its way.
          if (over || (!begun && closed.signal.aborted && !p.owner.dead())) return
          begun = true
          const step = program.next()
          if (!step.done) return void time.at(step.value, go)
          over = true
          if (isCut()) time.at(45_000, () => lose(false))
          else answer(latency(), { ended: 'exit', code: step.value })
        }
        time.at(latency() + (hit?.what === 'late' ? Math.abs(hit.seconds) * 1000 : 0), go)
      })
    const none = () => Promise.reject(new Error('the model has no such thing'))
    const connection: Connection = {
      name: s.name,
      run,
      send: (script, input, options) => {
        input.destroy()
        return run(script, options)
      },
      forward: none,
      forwardSocket: none,
      closed: closed.signal,
      close: () => lose(true),
    }
    return { connection, lose }
  }

  const w: World = {
    time,
    servers,
    balancer,
    violations,
    trace,
    calm: false,
    process(name) {
      return { owner: owner(name, time), cancel: new AbortController(), tokens: new Set() }
    },
    fleet(p) {
      const open = new Map<string, Line>()
      return {
        connect: ({ name }, signal) =>
          new Promise((resolve, reject) => {
            p.owner.begun = true
            if (signal.aborted) {
              reject(signal.reason)
              return
            }
            const there = open.get(name)
            if (there !== undefined && !there.connection.closed.aborted)
              return void time.at(0, () => p.owner.deliver(() => resolve(there.connection)))
            const s = servers.get(name)
            if (s === undefined) throw new Error(`no server ${name}`)
            const cut = (p.owner.cutOff.get(name) ?? 0) > time.now()
            time.at(cut ? 3000 : latency(), () =>
              p.owner.deliver(() => {
                if (signal.aborted) return reject(signal.reason)
                if (cut) return reject(new ConnectionError(`${name} is not reached`, { server: name }))
                const again = open.get(name)
                const mine = again !== undefined && !again.connection.closed.aborted ? again : line(p, s)
                open.set(name, mine)
                resolve(mine.connection)
              }),
            )
          }),
        close() {
          for (const l of open.values()) l.lose(true)
        },
      }
    },
    balancerOf: (p, name) => loadBalancer(name, balancer, time, random, callsOf(p)),
  }

  /** Whether so few serve that none may leave; what failed just now nobody could know. */
  function tooFew(leaving: string): boolean {
    const others = names.filter(n => n !== leaving)
    const counts = others.filter(n => {
      const sick = balancer.members.get(n)?.sick
      const justNow = sick !== undefined && time.now() < sick.until && time.now() - sick.from < 2000
      return balancer.rotation(n).state === 'serving' || justNow
    })
    return counts.length < minInService
  }

  function callsOf(p: Process): Calls {
    const polled = new Map<string, string>()
    /** Of polls that say the same again and again only the first can be met by a fault. */
    const isNew = (what: string, server: string | null) => {
      if (what !== 'read' || server === null) return true
      const { state } = balancer.rotation(server)
      const is = polled.get(server) !== state
      polled.set(server, state)
      return is
    }
    return {
      call: (what, server, effect, answer) =>
        new Promise((resolve, reject) => {
          const hit = isNew(what, server) ? fault(p, `balancer ${what}`, server) : null
          const refuse = (text: string) => new BalancerError(text, server === null ? {} : { server })
          const back = (work: () => void) => time.at(latency(), () => p.owner.deliver(work))
          if (hit?.what === 'kill before') return
          // A provider's call has ten seconds.
          const late = hit?.what === 'late' ? Math.min(8, Math.abs(hit.seconds)) * 1000 : 0
          time.at(latency() + late, () => {
            if (time.now() < balancer.outageUntil && !w.calm) return void back(() => reject(refuse('no answer')))
            if (hit?.what === 'fails' || hit?.what === 'lost') return void back(() => reject(refuse('refused')))
            if (effect !== null && server !== null && hit?.what !== 'lies') {
              const token = servers.get(server)?.lock?.token ?? null
              say(`${server}: ${what} at the balancer  (${p.owner.name})`)
              if (token === null || !p.tokens.has(token))
                wrong(`promise 5: ${p.owner.name} does ${what} of ${server}, while ${token?.slice(0, 4)} has the lock`)
              if (what === 'remove' && balancer.rotation(server).state === 'serving' && tooFew(server))
                wrong(`promise 2: ${server} is removed and leaves fewer than ${minInService} in service`)
              effect()
            }
            if (hit?.what === 'fails after') return void back(() => reject(refuse('no answer that can be read')))
            const value = answer()
            back(() => resolve(value))
          })
        }),
    }
  }
  return w
}
