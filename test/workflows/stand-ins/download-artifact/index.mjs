// With a pattern and without merge-multiple each artifact gets a directory of its own (actions/download-artifact, README).
import { cpSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

const { INPUT_PATTERN: pattern, INPUT_PATH: path, STAND_IN_ARTIFACTS: store } = process.env
const named = new RegExp(`^${pattern.split('*').map(RegExp.escape).join('.*')}$`)
mkdirSync(path, { recursive: true })
for (const name of readdirSync(store).filter(n => named.test(n)))
  cpSync(join(store, name), join(path, name), { recursive: true })
