/** Starts main, or post: the runner calls the same bundle for both. */
import { isPost } from './begin.ts'
import { main, post } from './main.ts'

/** Milliseconds for a reader that is slow: what still waits in the pipe is the end of the log, recap and annotations. */
const longestFlush = 10_000

/** Open SSH connections would keep the process alive, so it ends by itself, once the log is out. */
function leave(code: number): void {
  setTimeout(() => process.exit(code), longestFlush).unref()
  process.stdout.write('', () => process.exit(code))
}

const work = isPost ? post() : main()
work.then(leave, (error: unknown) => {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  leave(1)
})
