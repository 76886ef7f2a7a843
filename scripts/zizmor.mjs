/**
 * `node scripts/zizmor.mjs OPTIONS…` looks for weaknesses in the workflows here and in the examples, and in Dependabot's settings. What is
 * found is a failure; .github/zizmor.yml says what is not looked for, and why. Without a token of GitHub it needs no network.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { root, run, whenStarted } from './node24.mjs'
import { directoryOf, installTool } from './pip.mjs'

/** Every file that is looked at: what runs here, and what others copy. */
export function audited(directory = root) {
  const below = folder =>
    readdirSync(join(directory, folder), { recursive: true, encoding: 'utf8' })
      .map(path => `${folder}/${path.replaceAll('\\', '/')}`)
      .filter(path => /\.ya?ml$/.test(path))
  // A manifest of the action is no workflow.
  const copied = below('examples').filter(path => /(^|\/)workflows?(\/[^/]+)?\.ya?ml$/.test(path))
  return ['action.yml', '.github/dependabot.yml', ...below('.github/workflows'), ...copied].sort()
}

/** The program and its arguments, with it installed. */
export function zizmor(...options) {
  installTool('zizmor')
  const fixed = ['--no-progress', '--strict-collection', '--persona=pedantic', '--config', '.github/zizmor.yml']
  return [join(directoryOf('zizmor'), 'bin', 'zizmor'), [...fixed, ...options]]
}

await whenStarted(import.meta.url, options => run(...zizmor(...options, ...audited())))
