/**
 * `current` moves to another release by one rename. The new link is made inside the held lock entry and renamed from there: when the
 * lock has moved on, that path is gone, and so a stale owner's switch fails however late it comes.
 */
import { InputError } from '../errors.ts'
import { quote, quoteAll } from '../fleet/quote.ts'
import { exitCodes } from './exit-codes.ts'
import { fenced } from './fence.ts'
import { journalOutcome } from './journal-lines.ts'
import { markFunctions, places } from './marks.ts'
import type { Owner } from './prelude.ts'
import { checkedRelease, isReleaseId, rootDirectory, type Site } from './site.ts'

/** What a person does about a `current` that is a real directory: its content becomes a release, and `current` a link to it. */
export function convertCommands(site: Site): readonly string[] {
  const path = site.releasePath ?? ''
  rootDirectory(site)
  return [
    `mkdir -p ${quote(`${path}/releases`)} && mv ${quoteAll([`${path}/current`, `${path}/releases/before-deploy-action`])}`,
    `ln -s releases/before-deploy-action ${quote(`${path}/current`)}`,
  ]
}

/** The release a link text of `current` stands for; null: another tool's. */
export function releaseOfLink(site: Site, link: string): string | null {
  const trimmed = link.replace(/\/+$/, '').replace(/^\.\//, '')
  const own = site.releasePath === null ? trimmed : trimmed.replace(`${site.releasePath}/releases/`, 'releases/')
  const id = /^releases\/([^/]+)$/.exec(own)?.[1]
  return id !== undefined && isReleaseId(id) ? id : null
}

/** from: what `current` points to, as JSON into f. Refused: a real directory or file; a text that no line can hold. */
const found = (site: Site): string => `
f=null
if [ -L "$P/current" ]; then
  from=$(readlink "$P/current") || exit ${exitCodes.renameFailed}
  case $from in *[[:cntrl:]]*) die ${exitCodes.currentIsDirectory} "current points to a name with control characters" ;; esac
  [ \${#from} -le 900 ] || die ${exitCodes.currentIsDirectory} "current points to a name of more than 900 characters"
  printf 'previous\\t%s\\n' "$from"
  f=
  while :; do
    case $from in
      *[\\"\\\\]*) _p=\${from%%[\\"\\\\]*}; from=\${from#"$_p"}; f=$f$_p\\\\\${from%"\${from#?}"}; from=\${from#?} ;;
      *) f="\\"$f$from\\""; break ;;
    esac
  done
elif [ -d "$P/current" ]; then
  say "$P/current is a directory, and has to become a link:"
  printf '  %s\\n' ${quoteAll(convertCommands(site))} >&2
  exit ${exitCodes.currentIsDirectory}
elif [ -e "$P/current" ]; then die ${exitCodes.currentIsDirectory} "$P/current is a file, and has to become a link"
fi
`

/** The switch itself. A renewal may rename the entry between two commands: then it is looked up again. */
const move = (site: Site, to: string): string => `${found(site)}
j '{"type":"switching","from":'"$f"',"to":'${quote(JSON.stringify(to))}'}' || exit ${exitCodes.noRoom}
_a=0
while :; do
  held || lost
  { rm -f "$h/link" && ln -s -- ${quote(to)} "$h/link"; } 2>/dev/null && rename "$h/link" "$P/current" && break
  _a=$((_a + 1))
  [ $_a -lt 30 ] || die ${exitCodes.renameFailed} "current could not be switched; it points to what it did before"
done
printf 'switched\\t%s\\n' ${quote(to)}
fsync "$P"
${journalOutcome({ type: 'switched', to })}exit 0`

/** Points `current` to a marked release. Prints: see `parseSwitch`. */
export const switchTo = (site: Site, owner: Owner, release: string): string =>
  fenced(
    site,
    owner,
    `${places(site)}${markFunctions}
marked ${quote(checkedRelease(release))} || die ${exitCodes.notPrepared} ${quote(`the release ${release} is not there, or was never prepared wholly`)}
${move(site, `releases/${release}`)}`,
  )

/** Points `current` back to what it pointed to before, by the link's text: also a release that another tool made. Throws InputError. */
export function switchBack(site: Site, owner: Owner, link: string): string {
  const own = releaseOfLink(site, link)
  if (own !== null) return switchTo(site, owner, own)
  if (link === '' || link.length > 900 || /[\0-\x1f\x7f]/.test(link))
    throw new InputError(`current cannot point to ${JSON.stringify(link)}`, { hint: 'switch it by hand' })
  return fenced(
    site,
    owner,
    `${places(site)}
(cd "$P" && [ -d ${quote(link)} ]) || die ${exitCodes.notPrepared} ${quote(`${link} is not there any more`)}
${move(site, link)}`,
  )
}

export interface Switched {
  /** The link's text before. */
  readonly previous: string | null
  /** Whether `current` was changed; false with `lost` connections means not known. */
  readonly changed: boolean
}

export function parseSwitch(stdout: string): Switched {
  const lines = stdout.split('\n')
  const previous = lines.find(line => line.startsWith('previous\t'))
  return {
    previous: previous === undefined ? null : previous.slice('previous\t'.length),
    changed: lines.some(line => line.startsWith('switched\t')),
  }
}
