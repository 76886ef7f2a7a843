/** One case: a deployment, what goes wrong in it, what comes after it, and at the end one `recover` in a world that behaves. */
import { readFileSync } from 'node:fs'
import type { Context } from '../../src/commands/context.ts'
import { deploy } from '../../src/commands/deploy.ts'
import { recover, recoverAs } from '../../src/commands/recover.ts'
import { messageOf } from '../../src/errors.ts'
import type { Request } from '../../src/inputs.ts'
import type { Manifest } from '../../src/manifest/manifest.ts'
import { readManifest } from '../../src/manifest/read.ts'
import type { EventBody, Result } from '../../src/report/events.ts'
import { whatIsWrong } from './after.ts'
import { use } from './equipment.ts'
import type { Settings } from './faults.ts'
import { forgetTags } from './tags.ts'
import { names, type Process, type World, world } from './world.ts'

export interface Case extends Settings {
  readonly strategy: 'serial' | 'rolling' | 'parallel'
  readonly onFailure: 'stop' | 'rollback'
  readonly migrate: boolean
  /** Seconds that the others wait for the lock. */
  readonly lockWait: number
  /** What begins while the first is under way, and after how many seconds. */
  readonly second: { readonly command: 'deploy' | 'again' | 'recover'; readonly at: number } | null
}

export interface Run {
  readonly w: World
  readonly wrong: readonly string[]
  readonly results: readonly string[]
}

/** Events of a whole case; none comes near it. */
const most = 60_000

const yaml = (c: Case): string => `
application: storefront
servers:
${names.map(name => `  - {name: ${name}, host: ${name}.example.com, user: deploy}`).join('\n')}
release: {path: /srv/app, keep: 2}
load_balancers:
  edge: {provider: haproxy, backends: app, hosts: [deploy@lb.example.com], drain_timeout: 6s, add_timeout: 12s}
rollout: {strategy: ${c.strategy}, on_failure: ${c.onFailure}, lock_wait: ${c.lockWait}s, min_in_service: 1}
prepare: [{name: prepare, run: prepare, timeout: 60s}]
activate: [{name: activate, run: activate, timeout: 60s}]
${c.migrate ? 'migrate: {name: migrate, run: migrate, timeout: 5m}' : ''}
verify: [{command: check, timeout: 4s, interval: 1s, request_timeout: 2s}]
`

const manifests = new Map<string, Manifest>()
function manifestOf(c: Case): Manifest {
  const text = yaml(c)
  const known = manifests.get(text)
  if (known !== undefined) return known
  const read = readManifest({
    file: 'deploy.yml',
    text,
    environment: null,
    readFile: path => readFileSync(path, 'utf8'),
  })
  manifests.set(text, read)
  return read
}

const request = (command: Request['command'], sha: string, temp: string): Request => ({
  command,
  manifest: 'deploy.yml',
  environment: null,
  strategy: null,
  maxParallelism: null,
  migrate: null,
  servers: 'all',
  source: null,
  release: null,
  sshKey: null,
  sshKeyPassphrase: null,
  sshAgent: null,
  sshKnownHosts: null,
  sshStrict: true,
  githubToken: null,
  pullRequest: null,
  shard: null,
  mostShards: null,
  githubDeployment: null,
  comment: false,
  reports: '',
  workspace: temp,
  temp,
  run: {
    repository: null,
    runId: null,
    attempt: null,
    url: null,
    actor: null,
    sha,
    ref: null,
    event: null,
    serverUrl: '',
    apiUrl: '',
    headSha: null,
    fork: false,
    pull: null,
  },
  env: {},
  onGitHub: false,
})

interface Started {
  readonly p: Process
  readonly events: EventBody[]
  ended: string | null
}

function start(
  w: World,
  c: Case,
  name: string,
  command: 'deploy' | 'recover',
  sha: string,
  temp: string,
  work: (context: Context) => Promise<Result>,
): Started {
  const p = w.process(name)
  const started: Started = { p, events: [], ended: null }
  const context: Context = {
    request: request(command, sha, temp),
    manifest: manifestOf(c),
    emit: event => {
      started.events.push(event)
      if (event.type === 'stage') w.trace.push(`${' '.repeat(10)}${name}: ${event.server} ${event.stage}`)
      if (event.type === 'server-ended')
        w.trace.push(
          `${' '.repeat(10)}${name}: ${event.server} ended ${event.outcome} ${event.rotation}${event.leftOut ? ' left out' : ''} ${event.failure?.message ?? ''}`,
        )
    },
    clock: p.owner.clock,
    cancel: p.cancel.signal,
    saveRunFile: () => {},
    showStatus: () => {},
    showPlan: () => {},
    showSharding: () => {},
  }
  use(w, p)
  work(context).then(
    result => {
      started.ended = result
      w.trace.push(`${' '.repeat(10)}${name}: ${result}`)
      if (result === 'success' && command === 'deploy') serves(w, c, p, sha)
      p.owner.begun = true
    },
    (error: unknown) => {
      started.ended = `threw ${messageOf(error)}`
      w.trace.push(
        `${' '.repeat(10)}${name}: ${error instanceof Error && error.name === 'TypeError' ? error.stack : started.ended}`,
      )
      p.owner.begun = true
    },
  )
  return started
}

/** Promise 10: what succeeded was activated, and verified. */
function serves(w: World, { bad }: Case, { owner, tokens }: Process, sha: string): void {
  const { name } = owner
  if (bad && sha.startsWith('bbbb'))
    w.violations.push(`promise 10: ${name} ended with success on a release that does not verify`)
  for (const s of w.servers.values()) {
    if (!s.history.some(line => [...tokens].some(token => line.includes(token))))
      w.violations.push(`promise 10: ${name} ended with success, and ${s.name} has no line of it`)
    // After a take-over it is the other's release that runs.
    if (!tokens.has(s.lock?.by ?? '')) continue
    if (!s.runs?.startsWith(sha.slice(0, 12)) || s.runs !== s.current)
      w.violations.push(`promise 10: ${name} ended with success, and ${s.name} runs ${s.runs}, current is ${s.current}`)
  }
}

/** Until all of them have ended or are dead, and no more is to come; or nothing is left to happen. */
async function drive(w: World, all: () => readonly Started[], more: () => boolean = () => false): Promise<void> {
  let idle = 0
  for (let n = 0; n < most; n++) {
    // What a process reads before it does anything outside is real, and takes real time.
    while (all().some(s => !s.p.owner.begun && !s.p.owner.dead())) await new Promise(resolve => setImmediate(resolve))
    if (!more() && all().every(s => s.ended !== null || s.p.owner.dead())) return
    if (await w.time.step()) idle = 0
    else if (all().every(s => s.ended !== null || s.p.owner.dead())) return
    else if (idle++ > 100) {
      w.violations.push(`${all().find(s => s.ended === null && !s.p.owner.dead())?.p.owner.name} waits for ever`)
      return
    }
  }
  w.violations.push(`it does not end: ${most} events`)
}

const footprint = (w: World) =>
  JSON.stringify(
    [...w.servers.values()].map(s => [
      s.current,
      s.runs,
      [...s.releases].filter(([, r]) => r.mark !== null).map(([id, r]) => `${id} ${r.mark}`),
      [...s.migrations],
      s.lock?.token ?? null,
      w.balancer.rotation(s.name).state,
    ]),
  )

/** Plays it in virtual time, that of AbortSignal.timeout included. */
export async function play(c: Case, temp: string): Promise<Run> {
  forgetTags()
  const w = world(c)
  const { timeout } = AbortSignal
  AbortSignal.timeout = ms => {
    const late = new AbortController()
    w.time.at(ms, () => late.abort(new DOMException('signal timed out', 'TimeoutError')))
    return late.signal
  }
  try {
    return await playIn(w, c, temp)
  } finally {
    AbortSignal.timeout = timeout
  }
}

async function playIn(w: World, c: Case, temp: string): Promise<Run> {
  const started: Started[] = []
  const results = () => started.map(s => `${s.p.owner.name}: ${s.ended ?? 'killed'}`)
  started.push(start(w, c, 'first', 'deploy', 'b'.repeat(40), temp, deploy))
  const first = started[0] as Started
  let pending = c.second !== null
  if (c.second !== null) {
    const { command, at } = c.second
    w.time.at(at * 1000, () => {
      pending = false
      const sha = (command === 'deploy' ? 'c' : 'b').repeat(40)
      started.push(
        command === 'recover'
          ? start(w, c, 'second', 'recover', sha, temp, recover)
          : start(w, c, 'second', 'deploy', sha, temp, deploy),
      )
    })
  }
  await drive(
    w,
    () => started,
    () => pending,
  )
  // The runner starts `post` when main is dead, as the same owner.
  const [token] = first.p.tokens
  if (first.p.cancel.signal.aborted && token !== undefined) {
    started.push(start(w, c, 'post', 'recover', '', temp, context => recoverAs(context, token, false)))
    await drive(w, () => started)
  }
  w.calm = true
  w.balancer.outageUntil = 0
  for (const member of w.balancer.members.values()) member.sick = { from: 0, until: 0 }
  await later(w, 75)
  const open = w.trace.length
  const leftOutBefore = new Set(
    names.filter(name => whatIsWrong(w, []).some(text => text.startsWith(`${name} is left out`))),
  )
  const last = start(w, c, 'recover', 'recover', '', temp, recover)
  await drive(w, () => [last])
  await later(w, 30)
  const wrong = [...whatIsWrong(w, last.events, { bad: c.bad, leftOutBefore })]
  w.trace.splice(open, 0, '--- from here on everything goes well ---')
  const once = footprint(w)
  const again = start(w, c, 'recover again', 'recover', '', temp, recover)
  await drive(
    w,
    () => [again],
    () => true,
  )
  if (footprint(w) !== once)
    wrong.push(`recover again, or a late owner, changed something: ${once} became ${footprint(w)}`)
  return { w, wrong: [...w.violations, ...wrong], results: [...results(), `recover: ${last.ended}`] }
}

/** So many seconds go by. */
async function later(w: World, seconds: number): Promise<void> {
  let over = false
  w.time.at(seconds * 1000, () => {
    over = true
  })
  while (!over) await w.time.step()
}
