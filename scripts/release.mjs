/**
 * A release, step by step; .github/workflows/release.yml does nothing but call these. Only Node and git are needed: no package is
 * installed where a token may write. docs/releasing.md tells the whole.
 *
 *   node scripts/release.mjs prepare VERSION             the files of a release that name its version, for a pull request
 *   node scripts/release.mjs begin VERSION               goes to the tag vVERSION where there is one: a release that ended half-way
 *   node scripts/release.mjs check VERSION               may HEAD be released as VERSION? changes nothing
 *   node scripts/release.mjs notes VERSION               its section of CHANGELOG.md
 *   node scripts/release.mjs mark VERSION                the option of `gh release create` that says what is shown as the latest
 *   node scripts/release.mjs tag VERSION                 pushes the tag vVERSION, at HEAD
 *   node scripts/release.mjs major-tag VERSION [--back]  moves v1 to the release; back to an earlier one only with --back
 */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { emptied, section, withSection } from './changelog.mjs'
import { whenStarted } from './node24.mjs'
import { byPrecedence, majorTagOf, parseVersion, versionsOf } from './versions.mjs'

/** git in the current directory: what it printed; throws with what it said. */
function git(...args) {
  const ended = spawnSync('git', args, { encoding: 'utf8' })
  if (ended.error) throw ended.error
  if (ended.status !== 0) throw new Error(`git ${args[0]}: ${ended.stderr.trim()}`)
  return ended.stdout.trim()
}

const isAncestor = (older, newer) => spawnSync('git', ['merge-base', '--is-ancestor', older, newer]).status === 0

/**
 * main and the tags as origin has them now (what a clone has is no evidence): each tag's `object`, and its `commit`, which is another for
 * an annotated one. Their commits are fetched; no ref of the clone changes.
 */
function origin() {
  const refs = new Map(
    git('ls-remote', 'origin', 'refs/heads/main', 'refs/tags/v*')
      .split('\n')
      .filter(Boolean)
      .map(line => line.split('\t').reverse()),
  )
  const main = refs.get('refs/heads/main')
  if (main === undefined) throw new Error('origin has no branch main')
  const names = [...refs.keys()].filter(ref => ref.startsWith('refs/tags/') && !ref.endsWith('^{}'))
  git('fetch', '--quiet', '--no-tags', 'origin', 'refs/heads/main', ...names)
  const tags = names.map(ref => [
    ref.slice('refs/tags/'.length),
    { object: refs.get(ref), commit: refs.get(`${ref}^{}`) ?? refs.get(ref) },
  ])
  return { main, tags: new Map(tags), released: versionsOf(tags.map(([name]) => name)) }
}

const read = name => readFileSync(name, 'utf8')

/** The workflow that others call names the action with the version it belongs to. */
const reusable = '.github/workflows/deploy.yml'
const ownVersion = /(?<=uses: org\/deploy-action@v)\S+/g

const toFinish = version => `to finish its release, start the workflow Release with ${version.text} again`

/**
 * What stands against a release, as sentences; empty: nothing. `facts`: the version that each file names, the text of
 * CHANGELOG.md, whether the commit is on main, the tracked files that are changed, the released versions, and the commit of the release's
 * tag where there is one.
 */
export function objections(version, facts) {
  const found = []
  for (const [file, there] of Object.entries(facts.versions))
    if (there !== version.text) found.push(`${file} says ${there}, not ${version.text}`)
  try {
    section(facts.changelog, version.text)
  } catch (error) {
    found.push(error.message)
  }
  if (version.pre === null && !emptied(facts.changelog))
    found.push(`CHANGELOG.md still has entries under [Unreleased]: they go into the section of ${version.text}`)
  if (!facts.onMain) found.push(`commit ${facts.head} is not on main: only what was merged is released`)
  if (facts.changed.length > 0) found.push(`changed and not committed: ${facts.changed.join(', ')}`)
  if (facts.tagged !== null && facts.tagged !== facts.head)
    found.push(`v${version.text} is there already, at ${facts.tagged}, and stays there; ${toFinish(version)}`)
  const newer = facts.released.filter(v => v.major === version.major && byPrecedence(v, version) > 0)
  if (newer.length > 0) found.push(`v${newer.at(-1)?.text} is released already, which is newer`)
  return found
}

function factsOf(version) {
  const lock = JSON.parse(read('package-lock.json'))
  const head = git('rev-parse', 'HEAD')
  const { main, tags, released } = origin()
  return {
    versions: {
      'package.json': JSON.parse(read('package.json')).version,
      'package-lock.json': lock.version,
      'package-lock.json (packages)': lock.packages[''].version,
      [reusable]: [...new Set(read(reusable).match(ownVersion) ?? ['nothing'])].join(', '),
    },
    changelog: read('CHANGELOG.md'),
    head,
    onMain: isAncestor(head, main),
    changed: git('diff', '--name-only', 'HEAD').split('\n').filter(Boolean),
    released,
    tagged: tags.get(`v${version.text}`)?.commit ?? null,
  }
}

/**
 * Where the major tag goes: `{ move: true }`, `{ move: false, why }`, or throws when it may not. `at`: where it is now, as
 * `{ commit, version }` (version null: no release is there), or null.
 */
export function majorMove(version, commit, at, { back, contains }) {
  if (version.pre !== null) return { move: false, why: `${version.text} is a pre-release, which moves no tag` }
  const tag = majorTagOf(version)
  if (tag === null) return { move: false, why: `${version.text} is below 1.0.0: there is no tag that moves` }
  if (at === null) return { move: true }
  if (at.commit === commit) return { move: false, why: `${tag} is there already` }
  if (at.version !== null && at.version.major !== version.major)
    throw new Error(`${tag} is at v${at.version.text}, of another major version: that is to be looked at by a person`)
  const forward = at.version === null ? contains(at.commit) : byPrecedence(at.version, version) < 0
  if (forward || back) return { move: true }
  const where = at.version === null ? `${at.commit}, which no release is at` : `v${at.version.text}`
  throw new Error(`${tag} is at ${where}: it would go back to v${version.text}, which only --back does`)
}

function moveMajorTag(version, back) {
  const { main, tags } = origin()
  const commit = tags.get(`v${version.text}`)?.commit
  if (commit === undefined) throw new Error(`origin has no tag v${version.text}`)
  if (!isAncestor(commit, main)) throw new Error(`v${version.text} is not on main`)
  const tag = majorTagOf(version)
  const now = tags.get(tag)
  const there = versionsOf([...tags].filter(([, at]) => at.commit === now?.commit).map(([name]) => name))
  const at = now === undefined ? null : { commit: now.commit, version: there.findLast(v => v.pre === null) ?? null }
  const { move, why } = majorMove(version, commit, at, { back, contains: older => isAncestor(older, commit) })
  if (!move) return console.log(why)
  // The lease allows the move, and only from where it was seen: a "+" would allow any.
  push(`${commit}:refs/tags/${tag}`, `--force-with-lease=refs/tags/${tag}:${now?.object ?? ''}`)
  console.log(`${tag}: ${now?.commit ?? 'new'} → ${commit} (v${version.text})`)
}

/** GitHub refuses a workflow's own token where the workflow files of the commit differ from those of every branch's tip. */
function push(refspec, ...options) {
  const command = ['push', '--quiet', ...options, 'origin', refspec]
  try {
    git(...command)
  } catch (error) {
    if (!/without `?workflows`? permission/.test(error.message)) throw error
    throw new Error(
      `${error.message}\nA commit whose workflow files are those of no branch (main went on) gets a tag from a person only:\n` +
        `  git ${command.join(' ')}`,
    )
  }
}

/** The tag says which commit is released, once it is there: main may have gone on while a release stood half-way. */
function begin(version) {
  const { main, tags } = origin()
  const there = tags.get(`v${version.text}`)?.commit
  if (there === undefined) return console.log(`v${version.text} is not there yet`)
  // Asked before the scripts of that commit take over: a tag that someone set on what was not merged brings nothing in.
  if (!isAncestor(there, main)) throw new Error(`v${version.text} is at ${there}, which is not on main`)
  git('checkout', '--quiet', '--detach', there)
  console.log(`v${version.text} is there already: on with it at ${there}`)
}

function pushTag(version) {
  const head = git('rev-parse', 'HEAD')
  const there = origin().tags.get(`v${version.text}`)?.commit
  if (there === head) return console.log(`v${version.text} is there already`)
  if (there !== undefined) throw new Error(`v${version.text} is there already, at ${there}; ${toFinish(version)}`)
  push(`${head}:refs/tags/v${version.text}`)
  console.log(`v${version.text}: new → ${head}`)
}

/** The latest release is the highest full version of all, whichever was made last. */
export function markOf(version, released) {
  if (version.pre !== null) return '--prerelease'
  return released.some(v => v.pre === null && byPrecedence(v, version) > 0) ? '--latest=false' : '--latest'
}

function prepare(version, today) {
  const changelog = withSection(read('CHANGELOG.md'), version.text, today)
  for (const file of ['package.json', 'package-lock.json']) {
    const json = JSON.parse(read(file))
    json.version = version.text
    if (json.packages) json.packages[''].version = version.text
    writeFileSync(file, `${JSON.stringify(json, null, 2)}\n`)
  }
  writeFileSync(reusable, read(reusable).replace(ownVersion, version.text))
  writeFileSync('CHANGELOG.md', changelog)
}

const commands = {
  prepare: version => prepare(version, new Date().toISOString().slice(0, 10)),
  begin,
  check(version) {
    const found = objections(version, factsOf(version))
    if (found.length > 0) throw new Error(`${version.text} cannot be released:\n  ${found.join('\n  ')}`)
    console.log(`${version.text} can be released`)
  },
  notes: version => console.log(section(read('CHANGELOG.md'), version.text)),
  mark: version => console.log(markOf(version, origin().released)),
  tag: pushTag,
  'major-tag': (version, options) => moveMajorTag(version, options.includes('--back')),
}

await whenStarted(import.meta.url, ([command = '', text = '', ...options]) => {
  const carryOut = Object.hasOwn(commands, command) ? commands[command] : null
  if (carryOut === null) throw new Error(`what is to be done? One of ${Object.keys(commands).join(', ')}`)
  const unknown = options.find(option => !(command === 'major-tag' && option === '--back'))
  if (unknown !== undefined) throw new Error(`${command} has no option ${unknown}`)
  carryOut(parseVersion(text), options)
  return 0
})
