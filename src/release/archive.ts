/** A source that is an archive is unpacked first, by the runner's own tar. */
import { spawn } from 'node:child_process'
import { InputError, messageOf } from '../errors.ts'

const archive = /\.(tar|tar\.gz|tgz|tar\.zst)$/

export const isArchive = (name: string): boolean => archive.test(name)

/** Runs tar to its end. Its output comes in whole lines; what `line` throws ends it. */
function tar(words: readonly string[], signal: AbortSignal, line: (text: string) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('tar', words, { stdio: ['ignore', 'pipe', 'pipe'], signal })
    let [rest, said] = ['', '']
    let failure: unknown
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      try {
        if (failure === undefined) for (const l of lines) line(l)
      } catch (error) {
        failure = error
        child.kill()
      }
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-2000)
    })
    child.on('error', error => reject(signal.aborted ? signal.reason : error))
    child.on('close', (code, ended) => {
      if (failure !== undefined) reject(failure)
      else if (code === 0) resolve()
      else reject(new Error(said.trim() || `tar ended with ${code ?? ended}`))
    })
  })
}

/** Unpacks into an empty directory. Throws InputError for what tar cannot read, and for members that would land outside. */
export async function unpackArchive(path: string, shown: string, into: string, signal: AbortSignal): Promise<void> {
  const guard = (member: string) => {
    if (member.startsWith('/') || member.split('/').includes('..'))
      throw new InputError(`${shown}: the member "${member.slice(0, 200)}" would be unpacked outside of the release`, {
        hint: 'pack it again with relative paths, from within the directory',
      })
  }
  try {
    await tar(['-tf', path], signal, guard)
    await tar(['-xof', path, '-C', into], signal, () => {})
  } catch (cause) {
    if (cause instanceof InputError || signal.aborted) throw cause
    throw new InputError(`${shown} cannot be unpacked: ${messageOf(cause)}`, {
      cause,
      hint: 'is it a whole .tar, .tar.gz, .tgz or .tar.zst (which needs zstd), and is tar on this machine?',
    })
  }
}
