/** Of which commit a preview is: what it is called after, and whether that is what is checked out. */
import { headCommit } from '../github/changed-files.ts'
import type { EventBody } from '../report/events.ts'
import type { Context } from './context.ts'
import { checkoutNote, headOf } from './preview-decision.ts'
import { askAbout } from './preview-github.ts'
import { gitHubOf } from './recording.ts'

/** What is to be said where the checkout is of another commit; null: nothing. */
export async function noteOfCheckout(
  { run, workspace }: Pick<Context['request'], 'run' | 'workspace'>,
  headSha: string | null,
): Promise<Extract<EventBody, { readonly type: 'message' }> | null> {
  const note = headSha === null ? null : checkoutNote(run, headSha, await headCommit(workspace))
  return note === null ? null : { type: 'message', ...note }
}

/** `plan` of a preview names the release that the preview would have; every other context stays as it is. */
export async function ofHead(c: Context): Promise<Context> {
  const { request, manifest, emit, cancel } = c
  const number = manifest.preview?.number ?? null
  if (number === null) return c
  const warn = (text: string) => emit({ type: 'message', level: 'warning', text })
  const { run } = request
  let headSha = run.headSha
  if (headSha === null) {
    const answer = await askAbout(gitHubOf(request, warn), number)
    cancel.throwIfAborted()
    headSha = headOf(answer) ?? run.pull?.headSha ?? null
    if (headSha === null)
      warn(`Nothing says which commit is the head of pull request ${number}: the release is called after this run's.`)
  }
  const note = await noteOfCheckout(request, headSha)
  if (note !== null) emit(note)
  return { ...c, request: { ...request, run: { ...run, headSha } } }
}
