/**
 * A release comes to a server: staged beside its place, moved there by one rename when complete, marked when it is prepared. Until it
 * is marked it is nothing: whatever lies in its place is removed and made anew.
 */
import { quote } from '../fleet/quote.ts'
import { exitCodes } from './exit-codes.ts'
import { fenced } from './fence.ts'
import { journal, journalOutcome } from './journal-lines.ts'
import { markFunctions, places, removing } from './marks.ts'
import type { Owner } from './prelude.ts'
import { checkedRelease, type Site, sharedPlaces } from './site.ts'

const setting = (site: Site, release: string): string =>
  `${places(site)}I=${quote(checkedRelease(release))}\nD=$R/.staging.$I\n${markFunctions}`

/** What is there of the release without a mark; left alone when `current` points to it. */
const clearing = `
clear() {
  rm -f "$M/$I"
  for _d in "$D" "$R/$I"; do
    if [ -e "$_d" ] || [ -L "$_d" ]; then vanish "$_d" || return; fi
  done
}
`

const keepUnmarked = `if [ "$P/current" -ef "$R/$I" ]; then
  say "current points to releases/$I, which is not marked as complete, so it cannot be staged anew under users' eyes. To keep it under another name:"
  say "  cp -a $R/$I $R/$I.kept && ln -s releases/$I.kept $P/current.kept && mv -T $P/current.kept $P/current"
  exit ${exitCodes.unmarkedIsCurrent}
fi
`

/** Prints `marked` when the release is there and prepared, else makes an empty staging directory and prints `stage`. */
export const stageBegin = (site: Site, owner: Owner, release: string): string =>
  fenced(
    site,
    owner,
    `${setting(site, release)}${removing}${clearing}
if marked "$I"; then printf 'marked\\n'; exit 0; fi
${keepUnmarked}${journal({ type: 'staging' })}
sweep
{ clear && mkdir -p "$R" && mkdir "$D" && chmod 755 "$D"; } || die ${exitCodes.unpackFailed} "$D cannot be made"
printf 'stage\\n'`,
  )

/** What `stageBegin` printed; null: not an answer of it. */
export function parseStageBegin(stdout: string): 'marked' | 'stage' | null {
  const said = stdout.trim()
  return said === 'marked' || said === 'stage' ? said : null
}

/**
 * Unpacks a gzip'd tar on stdin into the staging directory. What arrives renews the lock: on a slow line a renewal of the runner's
 * would wait behind it for longer than a lease. Blocks grow while they arrive within a second, so that a fast line costs few forks.
 */
export const unpack = (site: Site, owner: Owner, release: string): string =>
  fenced(
    site,
    owner,
    `${setting(site, release)}
[ -d "$D" ] || die ${exitCodes.unpackFailed} "$D is not there"
feed() {
  _c=1
  while :; do
    clock
    _u0=$u
    LC_ALL=C dd bs=65536 count=$_c 2>"$S/upload.$$" || return
    read -r _w _ <"$S/upload.$$" || return
    [ "$_w" != 0+0 ] || return
    renew || return
    clock
    if [ $((u - _u0)) -gt 3 ] && [ $_c -gt 1 ]; then _c=$((_c / 2))
    elif [ $((u - _u0)) -lt 2 ] && [ $_c -lt 1024 ]; then _c=$((_c * 2)); fi
  done
}
feed | (umask 000 && cd "$D" && exec tar -xzpof -)
_x=$?
rm -f "$S/upload.$$"
held || lost
[ $_x -eq 0 ] || die ${exitCodes.unpackFailed} "tar could not unpack the release (exit code $_x)"`,
  )

function linkShared(place: { readonly path: string; readonly directory: boolean }): string {
  const parts = place.path.split('/')
  const parents = parts.slice(0, -1).map((_, i) => parts.slice(0, i + 1).join('/'))
  const [inRelease, inShared] = [`"$D"/${quote(place.path)}`, `"$P"/shared/${quote(place.path)}`]
  const link = quote(`${'../'.repeat(parts.length + 1)}shared/${place.path}`)
  const there = place.directory
    ? `mkdir -p ${inShared} || exit ${exitCodes.sharedMissing}\n`
    : `[ -e ${inShared} ] || die ${exitCodes.sharedMissing} "the shared file" ${inShared} "is missing"\n`
  return [
    there,
    ...parents.map(
      p =>
        `[ ! -L "$D"/${quote(p)} ] || die ${exitCodes.sharedMissing} ${quote(`${place.path} cannot be linked: the release has a link at ${p}`)}\n`,
    ),
    ...parents.slice(-1).map(p => `mkdir -p "$D"/${quote(p)} || exit ${exitCodes.sharedMissing}\n`),
    `rm -rf ${inRelease} && ln -s ${link} ${inRelease} || die ${exitCodes.sharedMissing} ${quote(`${place.path} cannot be linked`)}\n`,
  ].join('')
}

/**
 * Links what is shared in place of what the release ships there, and moves the release to its place by one rename. `shared` as in the
 * manifest. Throws InputError for a place outside of the release.
 */
export const stageCommit = (site: Site, owner: Owner, release: string, shared: readonly string[]): string =>
  fenced(
    site,
    owner,
    `${setting(site, release)}
[ -d "$D" ] || die ${exitCodes.unpackFailed} "$D is not there"
${sharedPlaces(shared).map(linkShared).join('')}
{ [ ! -e "$R/$I" ] && [ ! -L "$R/$I" ] && held && rename "$D" "$R/$I"; } || { held || lost; die ${exitCodes.renameFailed} "$D cannot be moved to $R/$I"; }
fsync "$R"
${journalOutcome({ type: 'staged' })}`,
  )

/** Marks a release whose `prepare` steps succeeded, after everything in it is on disk. */
export const mark = (site: Site, owner: Owner, release: string): string =>
  fenced(
    site,
    owner,
    `${setting(site, release)}
{ [ -d "$R/$I" ] && [ ! -L "$R/$I" ]; } || die ${exitCodes.notPrepared} "$R/$I is not there"
sync -f "$R/$I" 2>/dev/null || sync
marked "$I" || setMark "$I" prepared || exit ${exitCodes.noRoom}
${journalOutcome({ type: 'prepared' })}`,
  )

/** Removes what is there of a release that was never marked; a marked one and the one `current` points to stay. */
export const discardStaging = (site: Site, owner: Owner, release: string): string =>
  fenced(
    site,
    owner,
    `${setting(site, release)}${removing}${clearing}
if marked "$I" || [ "$P/current" -ef "$R/$I" ]; then printf 'kept\\n'; exit 0; fi
clear || die ${exitCodes.renameFailed} "$R/$I cannot be removed"
printf 'removed\\n'`,
  )
