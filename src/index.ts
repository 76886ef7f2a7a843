/** Starts main, or post: the runner calls the same bundle for both. */
import { isPost } from './begin.ts'
import { main, post } from './main.ts'

const work = isPost ? post() : main()
work.then(
  code => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
    process.exit(1)
  },
)
