/** The version of this program, as its package.json says it. */
import { readFileSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** `program`: the path of dist/index.js, which lies beside package.json. Someone may have copied it elsewhere: `unknown` then. */
export function versionOf(program: string): string {
  try {
    const text = readFileSync(join(dirname(realpathSync(program)), '..', 'package.json'), 'utf8')
    const { name, version } = JSON.parse(text) as { readonly name?: unknown; readonly version?: unknown }
    return name === 'deploy-action' && typeof version === 'string' ? version : 'unknown'
  } catch {
    return 'unknown'
  }
}
