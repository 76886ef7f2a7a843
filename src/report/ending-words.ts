/** What becomes of the servers under way when a person cancels a run. Pure. */
import { nameList } from './name-list.ts'
import { forTerminal } from './sanitise.ts'
import { outOfRotation, type ServerState } from './server-state.ts'
import type { ReportState } from './state.ts'

/** Stages after which the server's release is another one, or may be. */
const switched = new Set(['switching', 'activating', 'verifying', 'adding', 'rolling back'])

const changingNothing: ReadonlySet<string | null> = new Set(['plan', 'status', 'validate', 'report'])
/** `removing` is of a directory there, not out of rotation. */
const takingAway: ReadonlySet<string | null> = new Set(['preview teardown', 'preview clean-up'])

/** null: the command changes nothing, and may simply end. */
export function endingWords(state: ReportState): string | null {
  if (changingNothing.has(state.command)) return null
  if (takingAway.has(state.command))
    return 'ending cleanly: what is not removed yet stays until it is removed by another run'
  const at = (server: ServerState) => server.stages.findLast(stage => stage.to === null)?.stage ?? ''
  const open = [...state.servers.values()].filter(server => at(server) !== '')
  const names = (servers: readonly ServerState[]) => nameList(servers.map(server => forTerminal(server.name)))
  const changed = open.filter(server => switched.has(at(server)))
  const isOut = (server: ServerState) => leaving.has(at(server)) || outOfRotation(server).at(-1)?.to === null
  const unchanged = open.filter(server => !changed.includes(server) && isOut(server))
  const migrating = open.filter(server => at(server) === 'migrating')
  const said = [
    ...(unchanged.length === 0
      ? []
      : [`${names(unchanged)} ${unchanged.length === 1 ? 'goes' : 'go'} back into rotation`]),
    ...(changed.length === 0
      ? []
      : [`${names(changed)}: the new release stays if it was activated and verifies, else the one before`]),
    ...(migrating.length === 0 ? [] : [`the migration on ${names(migrating)} is not ended: it is waited for`]),
  ]
  return `ending cleanly: ${said.length === 0 ? 'no server is being changed' : said.join('; ')}`
}

const leaving = new Set(['removing', 'draining', 'restoring'])
