/** Whether actionlint and act are there; null: yes. In CI they have to be. */
// @ts-expect-error: a script of the project, without types
import { whyNoGoTools } from '../../scripts/go-tools.mjs'

const why = whyNoGoTools() as string | null
if (why !== null && process.env['CI'] === 'true') throw new Error(why)

export const withoutGoTools = why !== null
/** For the name of a group of tests: shown where they are left out. */
export const because = why === null ? '' : ` (left out: ${why})`
