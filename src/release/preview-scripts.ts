/**
 * Shell text for the directories of previews. What is deleted is only what passes every rule here (spec/action.md, Safety of previews and
 * files), asked in the same script immediately before; what speaks against it ends the script, and nothing was touched. POSIX sh.
 */
import { quote, quoteAll } from '../fleet/quote.ts'
import type { PreviewPath } from '../manifest/preview-path.ts'
import { exitCodes } from './exit-codes.ts'

export interface PreviewPlace extends PreviewPath {
  readonly application: string
  readonly number: number
  /** `owner/name`; null outside GitHub. */
  readonly repository: string | null
  /** `release.path` of every environment. */
  readonly others: readonly { readonly environment: string; readonly path: string }[]
}

/** In the state directory: whose preview this is. */
export const markerFile = 'preview'

/** A marker's one line. What comes before the repository says whose preview it is. */
const markerHead = ({ application, number }: Pick<PreviewPlace, 'application' | 'number'>) =>
  `{"application":"${application}","number":${number},`
export const markerLine = (place: PreviewPlace): string =>
  `${markerHead(place)}"repository":${JSON.stringify(place.repository)}}`

/** What follows the head in a marker of this repository; '' where that is not known. */
const markerRest = ({ repository }: PreviewPlace) =>
  repository === null ? '' : `"repository":${JSON.stringify(repository)}}`

/** A path as /proc/self/mountinfo writes it (proc(5)). */
const inMountinfo = (path: string) =>
  path.replace(/[ \t\n\\]/g, c => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`)

/**
 * P: the preview's directory, D: its parent, B: its last part, E: what of that stands before the number, A: the application, K: how its
 * marker begins; XD, XB: D and B as the mount table writes them.
 */
export const placeNames = (place: PreviewPlace): string =>
  `P=${quote(place.path)} D=${quote(place.parent)} B=${quote(place.name)} E=${quote(place.stem)}
A=${quote(place.application)} K=${quote(markerHead(place))} V=${quote(markerRest(place))}
XD=${quote(inMountinfo(place.parent))} XB=${quote(inMountinfo(place.name))}
`

/**
 * rules: nothing of the path is a link, and it keeps apart from the home directory and from every other environment's path, as they are
 * written and as they are in truth. ours DIR: its marker names this application and pull request, and no other repository (that: 2).
 * mine: P is a directory of this user. unmounted PATH: by the mount table nothing is mounted there or below; a mount of the same file system has the same device number,
 * which is all that find and rm look at.
 */
export const ruleFunctions = ({ others }: PreviewPlace): string => `
refuse() { die ${exitCodes.previewRefused} "$P is left alone: $*"; }
real() { (cd -P -- "$1" 2>/dev/null && pwd -P); }
apart() {
  case $P/ in "$2"/*) refuse "it is $1 ($2), or lies in it" ;; esac
  case $2/ in "$P"/*) refuse "it holds $1 ($2)" ;; esac
}
keepApart() {
  [ "$2" = / ] || apart "$1" "\${2%/}"
  _r=$(real "$2") || return 0
  [ "$_r" = / ] || apart "$1" "$_r"
}
rules() {
  [ ! -L "$P" ] || refuse "it is a link"
  _n=$P
  while [ ! -e "$_n" ] && [ ! -L "$_n" ]; do _n=\${_n%/*}; [ -n "$_n" ] || _n=/; done
  _r=$(real "$_n") || refuse "$_n is no directory that this user may enter"
  [ "$_r" = "$_n" ] || refuse "a part of it is a link: $_n is $_r"
  keepApart 'the home directory' "\${HOME:?}"
${others.map(o => `  keepApart ${quoteAll([`the path of ${o.environment}`, o.path])}`).join('\n')}
}
mine() { if [ ! -d "$P" ] || [ ! -O "$P" ]; then refuse "it is not a directory of this user"; fi; }
ours() {
  [ ! -L "$1/.deploy-action" ] && [ -O "$1/.deploy-action" ] || return 1
  [ -f "$1/.deploy-action/${markerFile}" ] && [ ! -L "$1/.deploy-action/${markerFile}" ] || return 1
  { read -r _m <"$1/.deploy-action/${markerFile}"; } 2>/dev/null || return 1
  case $_m in "$K"*) ;; *) return 1 ;; esac
  case $V,\${_m#"$K"} in ,* | "$V,$V") return 0 ;; "$V",'"repository":"'*) return 2 ;; *) return 0 ;; esac
}
marked() {
  ours "$P" && return
  [ $? = 1 ] || refuse "its marker ($P/.deploy-action/${markerFile}) says that it is another repository's"
  refuse "it has no marker of this application and pull request"
}
unmounted() {
  [ -r /proc/self/mountinfo ] || return 0
  while read -r _1 _2 _3 _4 _mp _5; do
    case $_mp in "$1" | "$1"/*) return 1 ;; esac
  done </proc/self/mountinfo
}
`

/** Minutes after which an empty directory of a claim is no one's any more: longer than a lease, and than any claim takes. */
const staleMinutes = 5

/**
 * erase: the directory R, which was a preview until it was renamed. Its marker goes last, so that what is cut off can be gone on with.
 * Never leaves its file system; works from inside, so that what happens to the path leads it nowhere else. What cannot be removed
 * (another user's, a mount) is printed as left. stump DIR: nobody's, and nothing is in it: its marker was gone already, or not there
 * yet; that of a claim counts only once it is older than any claim takes. sweep: all such directories of this preview; what another
 * application or repository has there is printed as foreign. keeps: U says that the marker of what was removed stays, alone in its
 * directory: nobody has been told of it yet.
 */
export const eraseFunctions = `
rest() { find . -xdev ! -name . ! -path ./.deploy-action ! -path ./.deploy-action/${markerFile} "$@"; }
wipe() {
  rest -depth -delete 2>/dev/null
  [ -n "$(rest 2>/dev/null | sed -n 1p)" ] || return 0
  find . -xdev -type d ! -perm -700 -exec chmod u+rwx {} \\; 2>/dev/null
  rest -depth ! -type d -exec rm -f -- {} + 2>/dev/null
  rest -depth -type d -exec rmdir -- {} + 2>/dev/null
  [ -z "$(rest | sed -n 1p)" ]
}
keeps() { case \${U-}\${R##*/} in "keep.$B.gone."*) ;; *) return 1 ;; esac; }
erase() {
  _w=\${R##*/}
  unmounted "$XD/.$XB\${_w#".$B"}" || { printf 'left\\t%s\\tsomething is mounted in it\\n' "$R"; return 0; }
  if (cd -P -- "$R" && [ "$(pwd -P)" = "$R" ] && wipe && { keeps || { rm -f ./.deploy-action/${markerFile} && rmdir ./.deploy-action; }; }) 2>/dev/null &&
    { keeps || rmdir "$R" 2>/dev/null; }; then printf 'erased\\t%s\\n' "$R"
  elif [ -e "$R" ]; then printf 'left\\t%s\\tthis user cannot remove all of it\\n' "$R"; fi
}
stump() {
  [ -z "$(find "$1" ! -path "$1" ! -path "$1/.deploy-action" 2>/dev/null | sed -n 1p)" ] || return 1
  case $1 in *.new.*) [ -n "$(find "$1" -prune -mmin +${staleMinutes} 2>/dev/null)" ] ;; esac
}
sweepPreview() {
  for R in "$D/.$B.gone."* "$D/.$B.new."*; do
    if [ ! -d "$R" ] || [ -L "$R" ] || [ ! -O "$R" ]; then continue; fi
    if ours "$R"; then erase
    elif stump "$R"; then rmdir "$R/.deploy-action" "$R" 2>/dev/null || rmdir "$R" 2>/dev/null || :
    else printf 'foreign\\t%s\\tit has no marker of this application and pull request\\n' "$R"; fi
  done
}
`
