/** A manifest's text → one environment's Manifest, or every problem at once. No I/O: files are read by a function handed in. */
import { InputError, ManifestError, type Problem } from '../errors.ts'
import { readDocument } from './document.ts'
import { type Draft, draftOf, type Reader } from './draft.ts'
import { type Layout, layoutOf } from './environments.ts'
import type { Manifest } from './manifest.ts'
import { suggestion } from './nearest.ts'
import type { Node } from './node.ts'
import { hasPreviews, readPreview } from './preview.ts'
import { tidy } from './problems.ts'
import type { ReadFile } from './server-file.ts'
import { pointTo } from './source.ts'
import { gluedHint, looksGlued } from './traps.ts'

export interface ReadOptions {
  /** Path as given, for messages. */
  readonly file: string
  readonly text: string
  /** null: none was named. */
  readonly environment: string | null
  /** Reads a server file of the workspace; what it throws becomes a problem. */
  readonly readFile?: ReadFile
  /** Values of the run that look-ups may use (`pull_request.number`, `github.run_id`, `github.repository`); absent: not known yet. */
  readonly names?: Readonly<Record<string, string>>
}

/**
 * The manifest of one environment. Only that environment's problems count: a mistake in staging keeps nobody from deploying
 * production (`validate` finds it). Throws ManifestError with all problems, InputError where the environment is not named or unknown.
 */
export function readManifest(options: ReadOptions): Manifest {
  const layout = open(options)
  const { environment } = options
  const { environments } = layout
  if (environment === null && environments.length > 0)
    throw new InputError(`${options.file} has environments, and none was named`, {
      hint: `give the input environment: ${environments.join(', ')}`,
    })
  if (environment !== null && !environments.includes(environment))
    throw new InputError(`${options.file} has no environment "${environment}"`, {
      hint:
        environments.length > 0
          ? suggestion(environment, environments)
          : 'the manifest has no `environments`: leave the input environment empty',
    })
  const drafts = draftsOf(layout, options)
  const draft = drafts.find(d => d.environment === environment)
  const result = draft?.finish(drafts)
  if (result === undefined) throw new Error(`environment ${environment} was not read`)
  return end(options.file, [...layout.problems, ...result.problems], result.manifest)
}

/**
 * The manifest of a pull request's preview; null: of whichever pull request. Throws ManifestError with the problems of what a preview is
 * made of, InputError where the manifest has no previews.
 */
export function readPreviewManifest(options: Omit<ReadOptions, 'environment'>, number: number | null): Manifest {
  const layout = open(options)
  const { manifest, problems } = readPreview(layout, draftsOf(layout, options), readerOf(options), number)
  return end(options.file, [...layout.problems, ...problems], manifest)
}

/** Whether a manifest has previews; false also for one that cannot be read. */
export function mentionsPreviews({ file, text }: Pick<ReadOptions, 'file' | 'text'>): boolean {
  const { root } = readDocument(file, text)
  const layout = root === null ? null : layoutOf(root)
  return layout !== null && hasPreviews(layout)
}

/** The manifests of all environments (of one without `environments`: one). Throws ManifestError with the problems of all of them. */
export function readAllEnvironments(options: Omit<ReadOptions, 'environment'>): readonly Manifest[] {
  const layout = open(options)
  const drafts = draftsOf(layout, options)
  const results = drafts.map(draft => ({ draft, ...draft.finish(drafts) }))
  const problems = results.flatMap(({ draft, problems: own }) =>
    own.map(problem => ({ problem, environment: draft.environment })),
  )
  const ofPreviews = hasPreviews(layout) ? readPreview(layout, drafts, readerOf(options), null).problems : []
  const all = [...problems, ...ofPreviews.map(problem => ({ problem, environment: null }))]
  const manifests = results.flatMap(r => r.manifest ?? [])
  return end(options.file, [...layout.problems, ...merged(all, drafts.length)], manifests)
}

/** A problem that not every environment has says which ones do. */
function merged(
  found: readonly { problem: Problem; environment: string | null }[],
  environments: number,
): readonly Problem[] {
  const same = Map.groupBy(found, ({ problem: p }) => `${p.file}\0${p.line}\0${p.column}\0${p.message}`)
  return [...same.values()].flatMap(group => {
    const [first] = group
    if (first === undefined) return []
    const names = [...new Set(group.flatMap(g => g.environment ?? []))]
    const everywhere = names.length === 0 || names.length === environments
    return [
      everywhere ? first.problem : { ...first.problem, message: `${first.problem.message} (in ${names.join(', ')})` },
    ]
  })
}

function open({ file, text }: Pick<ReadOptions, 'file' | 'text'>): Layout {
  const document = readDocument(file, text)
  if (document.root === null) return end<Layout>(file, document.problems, null)
  const layout = layoutOf(document.root)
  if (layout === null) return end<Layout>(file, [...document.problems, notAMap(document.root)], null)
  return { ...layout, problems: [...document.problems, ...layout.problems] }
}

const readerOf = ({ file, readFile, names }: Omit<ReadOptions, 'environment'>): Reader => ({
  file,
  readFile,
  run: names ?? null,
})

const draftsOf = (layout: Layout, options: Omit<ReadOptions, 'environment'>): readonly Draft[] => {
  const reader = readerOf(options)
  return (layout.environments.length > 0 ? layout.environments : [null]).map(name => draftOf(layout, name, reader))
}

function end<T>(file: string, problems: readonly Problem[], value: T | null): T {
  const all = tidy(problems)
  if (all.length === 0 && value !== null) return value
  throw new ManifestError(`${file} has ${all.length === 1 ? 'a problem' : `${all.length} problems`}`, all)
}

function notAMap(root: Node): Problem {
  const text = root.kind === 'text' ? (root.text ?? '') : ''
  return {
    ...pointTo(root.at),
    message: 'keys and values are expected at the top of the manifest',
    hint: looksGlued(text) ? gluedHint(text) : 'for example: application: my-app',
  }
}
