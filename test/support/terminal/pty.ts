/** A program on a real pseudo-terminal, with someone at its keyboard. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const harness = fileURLToPath(new URL('on_terminal.py', import.meta.url))

export interface PtyOptions {
  readonly cwd: string
  /** All of its environment. */
  readonly env: Readonly<Record<string, string>>
  readonly columns?: number
  readonly rows?: number
}

export interface PtyEnd {
  /** Negative: the number of the signal that killed it. */
  readonly code: number
  /** Whether the terminal shows what is typed; null: it was closed before. */
  readonly echo: boolean | null
}

export interface Pty {
  /** Everything that was written to the terminal so far, as it came. */
  written(): string
  type(keys: string): void
  resize(rows: number, columns: number): void
  /** Closes the terminal, as a person closes its window. */
  hangUp(): void
  readonly ended: Promise<PtyEnd>
}

export const ctrlC = '\x03'

/** The first word is the program. */
export function startOnTerminal(words: readonly string[], options: PtyOptions): Pty {
  const { cwd, env, rows = 24, columns = 100 } = options
  const child = spawn('python3', [harness, String(rows), String(columns), ...words], { cwd, env })
  let [written, errors] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    written += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  const order = (what: object) => child.stdin.write(`${JSON.stringify(what)}\n`)
  child.stdin.on('error', () => {}) // it has ended
  const ended = new Promise<PtyEnd>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', () => {
      const last = errors.trim().split('\n').at(-1) ?? ''
      if (last.startsWith('{')) resolve(JSON.parse(last) as PtyEnd)
      else reject(new Error(`the terminal ended: ${errors}`))
    })
  })
  ended.catch(() => undefined)
  return {
    written: () => written,
    type: keys => order({ type: keys }),
    resize: (r, c) => order({ resize: [r, c] }),
    hangUp: () => order({ hang_up: true }),
    ended,
  }
}
