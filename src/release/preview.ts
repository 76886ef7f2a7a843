/**
 * A preview's directory comes and goes. It appears by one rename with its marker in it, before anything else of it is there; it goes by one
 * rename beside its place, under its lock, and is erased there: what is cut off in between is gone on with by the next who comes.
 */
import { quote } from '../fleet/quote.ts'
import { exitCodes } from './exit-codes.ts'
import { fenced } from './fence.ts'
import { type LockInfo, releaseLock, takeLock } from './lock.ts'
import { changing, type Owner, reading } from './prelude.ts'
import {
  eraseFunctions,
  markerFile,
  markerLine,
  type PreviewPlace,
  placeNames,
  ruleFunctions,
} from './preview-scripts.ts'
import type { Site } from './site.ts'

const functions = (place: PreviewPlace) => `${placeNames(place)}${ruleFunctions(place)}${eraseFunctions}`

/**
 * others: previews of this application beside ours, by their markers: how many into c, which into l; into f those whose first deployment
 * has not begun. fresh: ours has not begun, either. away: out of its place, by one rename; R is where it is then.
 */
const counting = `
others() {
  c=0 l= f=
  for _f in "$D/$E"[0-9]*; do
    if [ "$_f" = "$P" ] || [ ! -d "$_f" ] || [ -L "$_f" ]; then continue; fi
    _k=\${_f##*/} _k=\${_k#"$E"}
    case $_k in 0* | *[!0-9]*) continue ;; esac
    { read -r _m <"$_f/.deploy-action/${markerFile}"; } 2>/dev/null || continue
    case $_m in "{\\"application\\":\\"$A\\",\\"number\\":$_k,"*) c=$((c + 1)) l="$l, $_k" ;; *) continue ;; esac
    [ -e "$_f/.deploy-action/journal" ] || f="$f $_k"
  done
}
fresh() { [ ! -e "$P/.deploy-action/journal" ]; }
away() {
  R=$D/.$B.gone.$T
  [ ! -e "$R" ] && rename "$P" "$R" || die ${exitCodes.renameFailed} "$P cannot be moved out of its place"
  fsync "$D"
}
`

/**
 * Around taking the lock of a preview that is deployed: nobody else's directory is touched, a new one gets its marker, and with `limit`
 * there are never more of them. Everyone counts after his own directory is there: of two at the limit none or one stays, and both try
 * again. null: what is there is not counted.
 */
export const claiming =
  (site: Site, place: PreviewPlace, limit: number | null) =>
  (owner: Owner, taking: string): string =>
    `${changing(site, owner)}${functions(place)}${counting}
full() { ${limit === null ? 'return 1' : `others; [ $c -ge ${limit} ]`}; }
tooMany() { die ${exitCodes.previewsFull} "there are $c previews of $A already, and ${limit ?? 0} may be (previews.limit): those of the pull requests \${l#, }"; }
# Whether P holds nothing, but for what is called $1.
empty() {
  for _f in "$P"/* "$P"/.[!.]* "$P"/..?*; do
    if { [ -e "$_f" ] || [ -L "$_f" ]; } && [ "\${_f##*/}" != "$1" ]; then return 1; fi
  done
}
writeMarker() {
  _f=$1/.deploy-action/${markerFile}
  { { printf '%s\\n' ${quote(markerLine(place))} >"$_f"; } 2>/dev/null && fsync "$_f"; } || refuse "its marker cannot be written"
}
discard() { rm -f "$1/.deploy-action/${markerFile}"; rmdir "$1/.deploy-action" "$1"; }
claim() {
  _t=$D/.$B.new.$T
  if [ -d "$_t" ] && [ ! -L "$_t" ]; then discard "$_t"; fi
  { mkdir -p "$D" && mkdir "$_t" && mkdir -m 700 "$_t/.deploy-action"; } || refuse "$_t cannot be made"
  writeMarker "$_t"
  rename "$_t" "$P" 2>/dev/null || R=$_t
}
taking() {
(
${taking}
)
}
_try=0
while :; do
  rules
  R=
  if [ -e "$P" ]; then mine; fi
  if [ ! -e "$P" ] || empty ''; then
    if full; then tooMany; fi
    claim
    if [ -n "$R" ]; then discard "$R"; fi
  fi
  marked
  _out=$(taking) || exit $?
  case $_out in taken*) ;; *) break ;; esac
  # It was taken away in between, and taking the lock made its directory anew.
  if ! ours "$P"; then
    empty .deploy-action || marked
    writeMarker "$P"
  fi
  if fresh && full; then
    held || lost
    away
    erase >/dev/null
    _try=$((_try + 1))
    if [ -z "$f" ] || [ $_try -gt 8 ]; then tooMany; fi
    sleep "0.$((($$ + _try * 37) % 10))" 2>/dev/null || sleep 1
    continue
  fi
  break
done
printf '%s\\n' "$_out"
`

/** Around taking the lock of a preview that is to go: it has to be there, and ours. */
export const ofTeardown =
  (site: Site, place: PreviewPlace) =>
  (owner: Owner, taking: string): string =>
    `${changing(site, owner)}${functions(place)}rules\nmine\nmarked
taking() {
(
${taking}
)
}
_out=$(taking) || exit $?
case $_out in
  taken*)
    # It was taken away in between, and taking the lock made its directory anew: nobody would know whose it is.
    if ! ours "$P" && held && [ ! -e "$P/.deploy-action/${markerFile}" ] && [ ! -e "$P/.deploy-action/journal" ]; then
      rm -rf "$P/.deploy-action/lock"
      rmdir "$P/.deploy-action" "$P" 2>/dev/null
      refuse "it was removed just now"
    fi
    ;;
esac
printf '%s\n' "$_out"
`

/**
 * A deployment that never began leaves nothing: under the lock, which it takes, a preview without any deployment goes. Prints as
 * `sweepPreview` does.
 */
export const unclaim = (site: Site, owner: Owner & { readonly info: LockInfo }, place: PreviewPlace): string =>
  `${changing(site, owner)}${functions(place)}${counting}
if [ ! -d "$P" ] || [ -L "$P" ] || ! ours "$P" || ! fresh; then exit 0; fi
taking() {
(
${takeLock(site, owner)}
)
}
_out=$(taking) || exit $?
case $_out in taken*) ;; *) exit 0 ;; esac
if ! fresh; then
${releaseLock(site, owner)}
fi
rules
mine
marked
if ! unmounted "$XD/$XB"; then refuse "something is mounted in it"; fi
held || lost
away
erase
exit 0
`

/** Reads only: what is there of a preview. See `parseLook`. */
export const lookAtPreview = (site: Site, place: PreviewPlace): string => `${reading(site)}${functions(place)}
for R in "$D/.$B.gone."* "$D/.$B.new."*; do if [ -d "$R" ] && [ ! -L "$R" ] && ours "$R"; then printf 'rest\\n'; fi; done
rules
if [ ! -e "$P" ]; then printf 'looked\\tnothing\\n'; exit 0; fi
mine
marked
printf 'looked\\tthere\\n'
exit 0
`

export interface PreviewLook {
  readonly there: boolean
  /** Something of it was renamed and not erased to the end. */
  readonly rests: boolean
}

/** null: not an answer of `lookAtPreview`. */
export function parseLook(stdout: string): PreviewLook | null {
  const lines = stdout.split('\n')
  const there = lines.includes('looked\tthere')
  return there || lines.includes('looked\tnothing') ? { there, rests: lines.includes('rest') } : null
}

/** Under the lock, every rule asked again: the preview is out of its place when this succeeds. Renewals find no lock from then on. */
export const moveAway = (site: Site, owner: Owner, place: PreviewPlace): string =>
  fenced(
    site,
    owner,
    `${functions(place)}${counting}
rules
mine
marked
if ! unmounted "$XD/$XB"; then refuse "something is mounted in it"; fi
held || lost
away
printf 'away\\n'`,
  )

/**
 * Erases what was moved away. Needs no lock: these directories are nobody's place any more. `keep`: the markers stay, for who is cut off
 * before a removal is told of leaves no other trace of it; the next sweep finds them erased. See `parseErased`.
 */
export const sweepPreviews = (site: Site, place: PreviewPlace, keep: 'markers' | 'nothing' = 'nothing'): string =>
  `${reading(site)}${functions(place)}${keep === 'markers' ? 'U=keep\n' : ''}
rules
sweepPreview
printf 'swept\\n'
exit 0
`

type Kept = readonly { readonly path: string; readonly why: string }[]

export interface Erased {
  readonly erased: readonly string[]
  readonly left: Kept
  /** What is not ours, and was not touched. */
  readonly foreign: Kept
}

/** null: not an answer of `sweepPreviews`. */
export function parseErased(stdout: string): Erased | null {
  const lines = stdout.split('\n').map(line => line.split('\t'))
  if (!lines.some(([word]) => word === 'swept')) return null
  const kept = (like: string) => lines.flatMap(([word, path = '', why = '']) => (word === like ? [{ path, why }] : []))
  return {
    erased: lines.flatMap(([word, path = '']) => (word === 'erased' ? [path] : [])),
    left: kept('left'),
    foreign: kept('foreign'),
  }
}

/** Reads only: all previews of this application beside `place`, and rests of them, with or without a marker. See `parseList`. */
export const listPreviews = (site: Site, place: PreviewPlace): string => `${reading(site)}${placeNames(place)}
for _f in "$D/$E"[0-9]*; do
  if [ ! -d "$_f" ] || [ -L "$_f" ] || [ ! -O "$_f" ]; then continue; fi
  { read -r _m <"$_f/.deploy-action/${markerFile}"; } 2>/dev/null || continue
  printf 'preview\\t%s\\t%s\\n' "\${_f##*/"$E"}" "$_m"
done
for _f in "$D/.$E"[0-9]*.gone.* "$D/.$E"[0-9]*.new.*; do
  if [ ! -d "$_f" ] || [ -L "$_f" ] || [ ! -O "$_f" ]; then continue; fi
  _k=\${_f##*/."$E"} _k=\${_k%%.*}
  if { read -r _m <"$_f/.deploy-action/${markerFile}"; } 2>/dev/null; then
    case $_m in "{\\"application\\":\\"$A\\",\\"number\\":$_k,"*) ;; *) continue ;; esac
  fi
  printf 'rest\\t%s\\n' "$_k"
done
printf 'listed\\n'
exit 0
`

export interface Listed {
  readonly previews: readonly { readonly number: number; readonly repository: string | null }[]
  /** Numbers of which something renamed is left. */
  readonly rests: readonly number[]
}

const numberOf = (text: string | undefined): number | null =>
  text !== undefined && /^[1-9]\d{0,8}$/.test(text) ? Number(text) : null

function markerOf(text: string, application: string, number: number) {
  try {
    const value = JSON.parse(text) as { application?: unknown; number?: unknown; repository?: unknown }
    if (value.application !== application || value.number !== number) return null
    return { number, repository: typeof value.repository === 'string' ? value.repository : null }
  } catch {
    return null
  }
}

/** What `listPreviews` printed; null: not an answer of it. What a server says is believed as far as it fits. */
export function parseList(stdout: string, application: string): Listed | null {
  const lines = stdout.split('\n').map(line => line.split('\t'))
  if (!lines.some(([word]) => word === 'listed')) return null
  return {
    previews: lines.flatMap(([word, text, ...marker]) => {
      const number = word === 'preview' ? numberOf(text) : null
      return number === null ? [] : (markerOf(marker.join('\t'), application, number) ?? [])
    }),
    rests: [...new Set(lines.flatMap(([word, text]) => (word === 'rest' ? (numberOf(text) ?? []) : [])))],
  }
}
