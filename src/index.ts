/** Starts main, or post: the runner calls the same bundle for both. */
import { isPost } from './begin.ts'
import { main, post } from './main.ts'
import { stderr, stdout } from './output.ts'

/** Milliseconds for a reader that is slow: what still waits in the pipe is the end of the log, recap and annotations. */
const longestFlush = 10_000
/** The same for a terminal, which a person may have stopped (Ctrl-S): nothing is held any more that others wait for. */
const longestStop = 60_000

let isDecided = false

/** Open SSH connections would keep the process alive, so it ends by itself, once the log is out. */
function leave(code: number): void {
  isDecided = true
  process.exitCode = code
  setTimeout(() => process.exit(code), stdout.isBehind() ? longestStop : longestFlush).unref()
  void stdout.flushed().then(() => process.exit(code))
}

// Node ends with 0 where nothing is left to wait for. A run that waits for what never comes is no success.
process.on('beforeExit', () => {
  if (isDecided) return
  isDecided = true
  process.exitCode = 1
  stderr.write('A fault of this program: it ended before the run had come to a result.\n')
})

const work = isPost ? post() : main()
work.then(leave, (error: unknown) => {
  stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  leave(1)
})
