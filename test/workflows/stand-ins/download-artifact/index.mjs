// An artifact that is named goes right into the path, and has to be there. With a pattern and without merge-multiple each artifact gets a
// directory of its own, and a single one gets none (actions/download-artifact v8.0.1, src/download-artifact.ts).
import { cpSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

const { INPUT_NAME: name, INPUT_PATTERN: pattern, INPUT_PATH: path, STAND_IN_ARTIFACTS: store } = process.env
mkdirSync(path, { recursive: true })
if (name) cpSync(join(store, name), path, { recursive: true })
else {
  const named = new RegExp(`^${pattern.split('*').map(RegExp.escape).join('.*')}$`)
  const wanted = readdirSync(store).filter(n => named.test(n))
  for (const n of wanted) cpSync(join(store, n), wanted.length === 1 ? path : join(path, n), { recursive: true })
}
