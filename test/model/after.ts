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
    const { open, leftOut, last } = journalState(parseJournal(s.journal.join('\n')).entries)
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
    const decided = parseHistory(s.history.join('\n')).findLast(h => h.outcome !== 'pending' && h.outcome !== 'skipped')
    const failed = decided?.outcome === 'failed' ? decided.rotation : null
    if (failed === 'none' || (failed === 'out' && s.name === w.balancer.operators && state === wanted)) continue
    if (state !== wanted) wrong.push(`${s.name} is ${state}, not ${wanted}`)
    if (known.bad && s.current?.startsWith('bbbb')) wrong.push(`${s.name} runs a release that does not verify`)
    if (s.runs !== s.current) wrong.push(`${s.name} runs ${s.runs}, current is ${s.current}`)
  }
  return wrong
}
