/** Starts main, or post: the runner calls the same bundle for both. */
import { isPost } from './begin.ts'
import { main, post } from './main.ts'

// A reader that goes away is no reason to leave servers half deployed.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})

const work = isPost ? post() : main()
work.then(
  code => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
    process.exit(1)
  },
)
