/** `report`: the reports of a fan-out's shards become one summary, one set of outputs, one report. Connects to nothing. */
import { createHash } from 'node:crypto'
import { InputError, messageOf } from '../errors.ts'
import { chooseReports, type FoundReport } from '../report/choose-reports.ts'
import type { Result } from '../report/events.ts'
import { merge, type Report } from '../report/merge.ts'
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
  const { reports, notices } = chooseReports(found)
  const own = request.run.url
  if (own !== null && reports[0].runUrl !== own)
    throw new InputError(`the reports in ${request.reports} are of another run: ${reports[0].runUrl}`, {
      hint: 'this run’s shards left none there, and older ones were not cleaned away; check actions/download-artifact’s pattern and path',
    })
  const { state, events } = merge(reports)
  emit({ type: 'merged', state, events })
  for (const text of notices) emit({ type: 'message', level: 'notice', text })
  tell()
  return problems.length > 0 ? 'failure' : (state.result ?? 'failure')
}

const digest = (text: string) => createHash('sha256').update(text).digest('hex')

function readAll(request: Bare['request']) {
  const found: FoundReport[] = []
  const problems: string[] = []
  const seen = new Set<string>()
  for (const { name, text, problem } of reportFiles(request)) {
    // The same artifact, downloaded twice.
    if (text !== null && seen.has(digest(text))) continue
    try {
      if (text === null) throw new Error(problem ?? 'it cannot be read')
      found.push({ file: name, report: ofShard(readReport(text)) })
      seen.add(digest(text))
    } catch (error) {
      problems.push(`${name} does not count: ${messageOf(error)}`)
    }
  }
  return { found, problems }
}

/** Throws Error with a sentence. */
function ofShard({ shard, selection, ...rest }: ReadReport): Report {
  if (shard === null || selection === null) throw new Error('it is the report of a run that was no shard')
  return { ...rest, shard, selection }
}
