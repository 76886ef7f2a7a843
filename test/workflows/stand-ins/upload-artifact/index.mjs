// One file, or the files of a directory without it, under the artifact's name. Names cannot be used twice (actions/upload-artifact, README).
import { cpSync, mkdirSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'

const { INPUT_NAME: name, INPUT_PATH: path, STAND_IN_ARTIFACTS: store } = process.env
if (!/^[^"/\\:<>|*?\r\n]+$/.test(name)) throw new Error(`"${name}" is no name for an artifact`)
mkdirSync(join(store, name)) // throws where the name is taken
cpSync(path, statSync(path).isDirectory() ? join(store, name) : join(store, name, basename(path)), { recursive: true })
