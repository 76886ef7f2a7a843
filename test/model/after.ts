/** Promise 9, as questions to the model. */
import { parseHistory } from '../../src/release/history.ts'
import { journalState, parseJournal } from '../../src/release/journal.ts'
import type { EventBody } from '../../src/report/events.ts'
import type { World } from './world.ts'

/** What is wrong after `recover`, as sentences; a server that it names with a reason may stand as it does. */
export function whatIsWrong(
  w: World,
  events: readonly EventBody[],
  known: { readonly bad: boolean; readonly leftOutBefore: ReadonlySet<string> } = {
    bad: false,
    leftOutBefore: new Set(),
  },
): string[] {
  const wrong: string[] = []
  for (const s of w.servers.values()) {
    const { entries } = parseJournal(s.journal.join('\n'))
    const { open, opened, leftOut, last } = journalState(entries)
    if (s.lock !== null && s.lock.token !== null) wrong.push(`${s.name}: the lock is held`)
    if (open) wrong.push(`${s.name}: the journal is open: ${last?.type}`)
    const ended = events.findLast(e => e.type === 'server-ended' && e.server === s.name)
    const named = ended?.type === 'server-ended' && ended.failure !== undefined && ended.failure.message !== ''
    if (leftOut.length > 0 && !named) wrong.push(`${s.name} is left out, and nobody says so`)
    if (named && !known.bad && !known.leftOutBefore.has(s.name) && events.length > 0)
      wrong.push(`${s.name} could have been brought back: ${ended.failure?.message}`)
    if (named) continue
    const state = w.balancer.rotation(s.name).state
    const wanted = s.name === w.balancer.operators ? 'out' : 'serving'
    // In place nothing takes a failed release out, and what an operator took out stays: the deployment that decided so has said it.
    const isDecided = (e: { readonly outcome: string }) => e.outcome !== 'pending' && e.outcome !== 'skipped'
    const history = parseHistory(s.history.join('\n'))
    // One that was killed after it had decided wrote no line of history; its journal says so.
    const closed = entries.filter(e => e.type === 'closed').at(-1)
    const cutOff = opened !== null && !history.some(h => h.deployment === opened.deployment)
    const decided = cutOff && closed !== undefined && isDecided(closed) ? closed : history.findLast(isDecided)
    const failed = decided?.outcome === 'failed' ? decided.rotation : null
    if (failed === 'none' || (failed === 'out' && s.name === w.balancer.operators && state === wanted)) continue
    if (state !== wanted) wrong.push(`${s.name} is ${state}, not ${wanted}`)
    if (known.bad && s.current?.startsWith('bbbb')) wrong.push(`${s.name} runs a release that does not verify`)
    if (s.runs !== s.current) wrong.push(`${s.name} runs ${s.runs}, current is ${s.current}`)
  }
  return wrong
}
