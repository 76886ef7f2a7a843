// With a pattern and without merge-multiple each artifact gets a directory of its own, and a single one gets none (actions/download-artifact
// v8.0.1, src/download-artifact.ts).
import { cpSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

const { INPUT_PATTERN: pattern, INPUT_PATH: path, STAND_IN_ARTIFACTS: store } = process.env
const named = new RegExp(`^${pattern.split('*').map(RegExp.escape).join('.*')}$`)
mkdirSync(path, { recursive: true })
const wanted = readdirSync(store).filter(n => named.test(n))
for (const name of wanted) cpSync(join(store, name), wanted.length === 1 ? path : join(path, name), { recursive: true })
