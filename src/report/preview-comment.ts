/** The one comment on a pull request about its preview. Pure. What servers printed is sanitised; nothing of the pull request's texts is in it. */
import type { Outcome } from './events.ts'
import { code, headOf, table } from './markdown.ts'
import { forMarkdown } from './sanitise.ts'
import { outcomeOf } from './server-state.ts'
import type { ReportState } from './state.ts'

export interface PreviewFacts {
  readonly application: string
  readonly number: number
  /** null: nothing says it. */
  readonly commit: string | null
}

/** The first line, by which ours is found again. An application's name is a-z, 0-9 and "-". */
export const commentMarker = (application: string): string => `<!-- deploy-action: ${application} preview -->`

const words = {
  succeeded: '✅ deployed',
  skipped: '✅ as before',
  failed: '❌ failed',
  'rolled-back': '❌ failed, and went back',
  pending: '⚪ not begun',
  unreachable: '❌ not reached',
} as const satisfies Record<Outcome, string>

/** Servers that get a line. */
const mostServers = 100

const text = (value: string, most = 300) => forMarkdown(headOf(value, most))

/** A link, if it is one that a browser opens; else its text. */
function link(url: string, words: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : null
  const web = parsed !== null && ['http:', 'https:'].includes(parsed.protocol)
  return web ? `[${text(words)}](<${parsed.href.replace(/[<>]/g, encodeURIComponent)}>)` : code(words)
}

const runLine = (runUrl: string | null) => (runUrl === null ? [] : [link(runUrl, 'The run')])

/** After a deployment, however it went; `cutOff`: after the recovery of one that was. */
export function previewComment(
  state: Pick<ReportState, 'result' | 'plan' | 'servers' | 'error' | 'runUrl'>,
  { application, number, commit }: PreviewFacts,
  cutOff = false,
): string {
  const good = state.result === 'success' && !cutOff
  const url = state.plan?.url ?? null
  const servers = [...state.servers.values()]
  const failures = servers.flatMap(s => {
    const failure = s.ended?.failure
    return failure === undefined ? [] : [{ server: s.name, ...failure }]
  })
  const title = good
    ? `✅ The preview of ${application} is up`
    : cutOff
      ? `❌ The preview of ${application}: the deployment was cut off`
      : state.result === 'cancelled'
        ? `⚪ The preview of ${application}: the deployment was cancelled`
        : `❌ The preview of ${application}: the deployment failed`
  const rows = servers.slice(0, mostServers).map(s => [code(s.name), words[outcomeOf(s)]])
  const why = failures
    .slice(0, 5)
    .map(f => `- ${code(f.server)}, ${text(f.stage)}: ${text(f.message)}${f.hint ? ` (${text(f.hint)})` : ''}`)
  const lone = failures.length === 0 && !good && state.error !== null ? [text(state.error.message)] : []
  const facts = [
    `Pull request ${number}`,
    ...(commit === null ? [] : [`commit ${code(commit.slice(0, 12))}`]),
    ...runLine(state.runUrl),
  ]
  return `${[
    commentMarker(application),
    `### ${title}`,
    '',
    ...(url === null ? [] : [`${good ? link(url, url) : `Its address is ${link(url, url)}.`}`, '']),
    facts.join(' · '),
    ...(rows.length === 0 ? [] : ['', table(['server', ''], rows)]),
    ...(servers.length > mostServers ? ['', `… and ${servers.length - mostServers} more`] : []),
    ...(why.length + lone.length === 0 ? [] : ['', ...why, ...lone]),
  ].join('\n')}\n`
}

type Gone = Pick<PreviewFacts, 'application' | 'number'> & { readonly runUrl: string | null }

const aboutGone = ({ application, number, runUrl }: Gone, title: string, ...more: readonly string[]): string =>
  `${[
    commentMarker(application),
    `### ${title}`,
    '',
    [`Pull request ${number}`, ...runLine(runUrl)].join(' · '),
    ...more,
  ].join('\n')}\n`

/** After the preview was removed. */
export const removedComment = (gone: Gone): string =>
  aboutGone(gone, `⚪ The preview of ${gone.application} is removed`)

/** After a removal that did not succeed on these servers; none: it did not begin. The run says why. */
export function notRemovedComment(gone: Gone, servers: readonly string[]): string {
  const named = servers.slice(0, mostServers).map(code)
  const more = servers.length > mostServers ? [`${servers.length - mostServers} more`] : []
  const where = servers.length === 0 ? [] : [`It failed on ${[...named, ...more].join(', ')}.`]
  return aboutGone(
    gone,
    `❌ The preview of ${gone.application} is not removed`,
    '',
    [...where, 'What is left of it is there as it was. The clean-up tries again.'].join(' '),
  )
}

/** After a removal that was cut off. */
export const cutOffComment = (gone: Gone): string =>
  aboutGone(
    gone,
    `❌ The removal of the preview of ${gone.application} was cut off`,
    '',
    'What is left of it goes with the next clean-up, or when the run is started again.',
  )

/** Where there was nothing to remove of a preview that was up. */
export const nothingFoundComment = (gone: Gone, path: string): string =>
  aboutGone(
    gone,
    `⚪ Nothing was found of the preview of ${gone.application}`,
    '',
    `There is nothing to remove at ${code(path)}. If the path or the servers of previews were changed since it was deployed, it is still where it was.`,
  )

/** Whether a comment of ours says that the preview is up. */
export const saysUp = (body: string): boolean => body.split('\n')[1]?.startsWith('### ✅') ?? false
