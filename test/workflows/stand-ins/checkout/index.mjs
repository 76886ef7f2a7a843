// The commit of the event unless `ref` names another one; a single one unless fetch-depth is 0 (actions/checkout, README).
import { execFileSync } from 'node:child_process'

const { GITHUB_SHA, GITHUB_WORKSPACE: cwd, INPUT_REF: ref, STAND_IN_REPOSITORY: from } = process.env
const depth = process.env['INPUT_FETCH-DEPTH']
const git = (...words) => execFileSync('git', words, { cwd, stdio: ['ignore', 'inherit', 'inherit'] })
git('-c', 'init.defaultBranch=main', 'init', '-q')
git('fetch', '-q', ...(depth === '0' ? [] : [`--depth=${depth}`]), `file://${from}`, ref || GITHUB_SHA)
git('checkout', '-q', '--detach', 'FETCH_HEAD')
