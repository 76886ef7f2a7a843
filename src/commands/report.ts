/** `report`: the reports of a fan-out's shards become one summary, one set of outputs, one report. Connects to nothing. */
import { createHash } from 'node:crypto'
import { InputError, messageOf } from '../errors.ts'
import { chooseReports, type FoundReport } from '../report/choose-reports.ts'
import type { Result } from '../report/events.ts'
import { merge, type Report } from '../report/merge.ts'
import { nameList } from '../report/name-list.ts'
import { type ReadReport, readReport } from '../report/report-schema.ts'
import type { Bare } from './context.ts'
import { reportFiles } from './reports-directory.ts'

/** Throws InputError where the reports are of no run, or of more than one. */
export async function mergeReports({ request, emit }: Bare): Promise<Result> {
  const { found, problems } = readAll(request)
  const tell = () => {
    for (const text of problems) emit({ type: 'message', level: 'error', text })
  }
  if (found.length === 0) {
    tell()
    throw new InputError(`input reports: nothing in ${request.reports} is the report of a shard`, {
      hint: 'each shard has to upload its output report-path, with if: always()',
    })
  }
  const { attempt } = request.run
  const { reports, notices, warning } = chooseReports(found, attempt === null ? null : Number(attempt))
  const own = request.run.url
  const whose = reports[0].runUrl
  if (own !== null && whose !== own)
    throw new InputError(
      `the reports in ${request.reports} are of ${whose === null ? 'no run on GitHub' : `another run: ${whose}`}`,
      {
        hint: 'this run’s shards left none there, and older ones were not cleaned away; check actions/download-artifact’s pattern and path',
      },
    )
  const { state, events } = merge(reports)
  emit({ type: 'merged', state, events })
  if (warning !== null) emit({ type: 'message', level: 'warning', text: warning })
  for (const text of notices) emit({ type: 'message', level: 'notice', text })
  tell()
  return problems.length > 0 ? 'failure' : (state.result ?? 'failure')
}

const digest = (text: string) => createHash('sha256').update(text).digest('hex')

function readAll(request: Bare['request']) {
  const found: FoundReport[] = []
  const problems: { readonly name: string; readonly why: string }[] = []
  const seen = new Set<string>()
  for (const { name, text, problem } of reportFiles(request)) {
    // The same artifact, downloaded twice.
    if (text !== null && seen.has(digest(text))) continue
    try {
      if (text === null) throw new Error(problem ?? 'it cannot be read')
      found.push({ file: name, report: ofShard(readReport(text)) })
      seen.add(digest(text))
    } catch (error) {
      problems.push({ name, why: messageOf(error) })
    }
  }
  const alike = [...Map.groupBy(problems, p => p.why)].map(([why, some]) => {
    const names = nameList(
      some.map(p => p.name),
      5,
    )
    return `${names} ${some.length === 1 ? 'does' : 'do'} not count: ${why}`
  })
  return { found, problems: alike }
}

/** Throws Error with a sentence. */
function ofShard({ shard, selection, ...rest }: ReadReport): Report {
  if (shard === null || selection === null) throw new Error('it is the report of a run that was no shard')
  const { command, plan, servers } = rest
  if (command !== 'deploy' && command !== 'rollback')
    throw new Error(
      `it is of ${command === null ? 'no command' : `the command ${command.slice(0, 100)}`}: only those of deploy and rollback are put together`,
    )
  if (new Set(selection).size < selection.length) throw new Error('it says that a server is selected twice')
  if (shard.of === 1 && plan !== null && !selection.every(name => servers.has(name)))
    throw new Error('it is of the only shard, and its servers are not those that are selected')
  return { ...rest, shard, selection }
}
