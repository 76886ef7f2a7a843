/** Reads manifests for tests and shows what is wrong with them, one problem a line. */
import { ManifestError } from '../../src/errors.ts'
import type { Manifest } from '../../src/manifest/manifest.ts'
import { readAllEnvironments } from '../../src/manifest/read.ts'

/** Three lines that are right, for manifests that have one thing wrong; what follows them begins in line 4. */
export const base = 'application: site\nssh: {user: deploy}\nservers: [{host: web1, roles: [web]}]\n'

type Files = Readonly<Record<string, string>>

export const reader =
  (files: Files) =>
  (path: string): string => {
    const text = files[path]
    if (text === undefined) throw new Error(`no such file: ${path}`)
    return text
  }

export const readAll = (
  text: string,
  files: Files = {},
  names?: Readonly<Record<string, string>>,
): readonly Manifest[] =>
  readAllEnvironments({ file: 'deploy.yml', text, readFile: reader(files), ...(names ? { names } : {}) })

/** The manifest of a text without `environments`, with `base` in front. */
export function read(text: string): Manifest {
  const [manifest] = readAll(base + text)
  if (manifest === undefined) throw new Error('nothing was read')
  return manifest
}

/** `line:column message → hint` of every problem; empty: there is none. */
export function problemsIn(
  text: string,
  files: Files = {},
  names?: Readonly<Record<string, string>>,
): readonly string[] {
  try {
    readAll(text, files, names)
    return []
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error
    return error.problems.map(
      p =>
        `${p.file === 'deploy.yml' ? '' : `${p.file}:`}${p.line}:${p.column} ${p.message}${p.hint ? ` → ${p.hint}` : ''}`,
    )
  }
}

/** The problems of `base` and something more. */
export const problems = (text: string): readonly string[] => problemsIn(base + text)
