/** Promise 9, as questions to the servers, the balancer and the kernel. Each answer is a list of what is wrong; empty: nothing. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { journalState, parseJournal } from '../../src/release/journal.ts'
import { commandLines, processesWith, sessionOf } from '../support/processes.ts'
import type { SiteServer } from '../support/site.ts'
import { waitUntil } from '../support/wait-until.ts'
import type { CrashCase } from './crash-case.ts'
import { type CrashSite, contentOf, names } from './crash-site.ts'

/** What a state directory may hold when nobody is at work; the rest is litter. */
const lasting = new Set(['history', 'journal', 'journal.1', 'lock', 'marks', 'migrated', 'migrations', 'room'])

async function wrongRotation({ site }: CrashSite, c: CrashCase): Promise<string[]> {
  const wanted = (name: string) => (name === c.operators ? 'maint' : 'serving')
  const states = () => Promise.all(names.map(async name => [name, await site.rotation(name)] as const))
  const isRight = async () => (await states()).every(([name, state]) => state === wanted(name))
  // In place an application starts anew while it is in rotation: its health check needs two answers.
  if (await waitUntil('rotation', isRight, 60_000).catch(() => false)) return []
  return (await states())
    .filter(([name, state]) => state !== wanted(name))
    .map(([name, state]) => `${name} is ${state}, not ${wanted(name)}`)
}

function wrongRelease(at: CrashSite, { name, root }: SiteServer): string[] {
  const current = at.site.current(name)
  if (current === null) return [`${name}: current leads nowhere`]
  const packed = at.packed(current)
  if (packed === undefined) return [`${name}: current is ${current}, which nobody packed`]
  if (!existsSync(join(root, '.deploy-action/marks', current))) return [`${name}: current ${current} is not marked`]
  const { '.prepared': prepared, ...there } = contentOf(join(root, 'current/'))
  const wrong = prepared?.endsWith(` ${current}\n`) ? [] : [`${name}: current was not prepared: ${prepared}`]
  for (const path of new Set([...Object.keys(packed), ...Object.keys(there)]))
    if (packed[path] !== there[path]) wrong.push(`${name}: ${path} of current is not what was packed`)
  return wrong
}

async function wrongAnswer(at: CrashSite, { name, appPort }: SiteServer): Promise<string[]> {
  const answer = async () => {
    const response = await fetch(`http://127.0.0.1:${appPort}/stats`, { signal: AbortSignal.timeout(60_000) })
    return ((await response.json()) as { release: string }).release
  }
  const release = await answer().catch((error: unknown) => `no answer (${String(error)})`)
  return release === at.site.current(name) ? [] : [`${name} answers with ${release}, not ${at.site.current(name)}`]
}

/** What is staged, removed or written half, on a server. */
export function halfDone({ name, root }: SiteServer): string[] {
  const state = join(root, '.deploy-action')
  const marks = new Set(readdirSync(join(state, 'marks')))
  return [
    ...readdirSync(join(root, 'releases'))
      .filter(entry => !marks.has(entry))
      .map(entry => `${name}: releases/${entry} is not marked`),
    ...readdirSync(root)
      .filter(entry => !['releases', 'current', '.deploy-action', 'shared'].includes(entry))
      .map(entry => `${name}: ${entry} lies in the release path`),
    ...readdirSync(state)
      .filter(entry => !lasting.has(entry))
      .map(entry => `${name}: .deploy-action/${entry} was left`),
  ]
}

function openJournal({ name, root }: SiteServer): string[] {
  const { open, last, leftOut } = journalState(
    parseJournal(readFileSync(join(root, '.deploy-action/journal'), 'utf8')).entries,
  )
  if (open) return [`${name}: the journal is open: ${last?.type}`]
  return leftOut.length > 0 ? [`${name}: the journal says that it is left out`] : []
}

/** Everything that a session of this server started, apart from the application: scripts, their children, migrations. */
function running({ sshd }: SiteServer): { pid: number; args: string }[] {
  const ofSessions = new Set(processesWith('HOME', sshd.home))
  return commandLines().filter(({ pid, args }) => ofSessions.has(pid) && !args.includes('app-server.mjs'))
}

async function leftRunning(server: SiteServer): Promise<string[]> {
  // The session that recover closed last may be ending still.
  const gone = await waitUntil('scripts end', () => running(server).length === 0, 30_000).catch(() => false)
  return gone ? [] : running(server).map(({ pid, args }) => `${server.name}: process ${pid} is left: ${args}`)
}

/** What a main that ended by itself left of its scripts. A migration may go on; its session begins with a shell that has its directory. */
export async function deploymentRunning({ site }: CrashSite): Promise<string[]> {
  const left = () => {
    const lines = new Map(commandLines().map(({ pid, args }) => [pid, args]))
    return site.servers
      .flatMap(server => running(server).map(process => ({ ...process, name: server.name })))
      .filter(({ pid }) => !lines.get(sessionOf(pid))?.includes('/.deploy-action/migrations/'))
  }
  const gone = await waitUntil('scripts end', () => left().length === 0, 30_000).catch(() => false)
  return gone ? [] : left().map(({ name, pid, args }) => `${name}: process ${pid} goes on: ${args}`)
}

/** Promise 4. */
function migratedTwice({ name, sshd }: SiteServer): string[] {
  const file = join(sshd.home, 'migrations')
  const lines = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []
  return lines.filter((id, i) => lines.indexOf(id) !== i).map(id => `${name}: the migration of ${id} ran twice`)
}

/** The last lines of each journal, for who has to find out. */
export const journals = ({ site }: CrashSite): string =>
  site.servers
    .map(({ name, root }) => {
      const lines = readFileSync(join(root, '.deploy-action/journal'), 'utf8').trimEnd().split('\n')
      return `--- journal of ${name} ---\n${lines.slice(-15).join('\n')}`
    })
    .join('\n')

/** All that is wrong after one `recover`, as sentences. */
export async function whatIsWrong(at: CrashSite, c: CrashCase): Promise<string[]> {
  const wrong = [...(await wrongRotation(at, c)), ...at.site.heldLocks().map(entry => `the lock ${entry} is held`)]
  for (const server of at.site.servers)
    wrong.push(
      ...wrongRelease(at, server),
      ...(await wrongAnswer(at, server)),
      ...halfDone(server),
      ...openJournal(server),
      ...(await leftRunning(server)),
      ...migratedTwice(server),
    )
  return wrong
}
