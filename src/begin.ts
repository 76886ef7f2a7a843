/**
 * Runs before anything else of the bundle is evaluated. The runner starts the same file for main and for post and tells them apart only
 * by what main saved: a main that is killed while it loads must not come back as a second main in its post step.
 */
import { appendFileSync } from 'node:fs'

/** Signals that came while the rest was loading; main looks at them first. */
export const early: { signal: NodeJS.Signals | null } = { signal: null }

export const isPost = process.env['STATE_isPost'] === 'true'

if (!isPost) {
  const state = process.env['GITHUB_STATE']
  if (state) appendFileSync(state, 'isPost=true\n')
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.once(signal, () => {
    early.signal ??= signal
  })
