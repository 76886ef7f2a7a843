/**
 * Marks say which releases are complete, prepared and ours, and how they did. They lie in the state directory, so that an
 * application's document root does not show them and no other tool's release ever has one.
 */
import { isReleaseId, rootDirectory, type Site } from './site.ts'

/** prepared: never deployed to its end. */
export type MarkResult = 'prepared' | 'good' | 'bad'

export interface Mark {
  readonly id: string
  readonly result: MarkResult
  /** Grows with each mark set on the server; clocks may go back, this does not. */
  readonly order: number
  /** Seconds since 1970, by the server's clock. */
  readonly at: number
}

/** P: release path, R: releases, M: marks. `setMark ID RESULT` writes `RESULT ORDER TIME`, whole or not at all. */
export const places = (site: Site): string => `P=${rootDirectory(site)}\nR=$P/releases M=$S/marks\n`

export const markFunctions = `
setMark() {
  mkdir -p "$M" || return
  _o=0
  for _f in "$M"/*; do
    { read -r _u _v _u <"$_f"; } 2>/dev/null || continue
    case $_v in '' | *[!0-9]*) ;; *) if [ "$_v" -gt $_o ]; then _o=$_v; fi ;; esac
  done
  replace "$M/$1" "$2 $((_o + 1)) $(date +%s)" && fsync "$M"
}
marked() { [ -f "$M/$1" ] && [ -d "$R/$1" ] && [ ! -L "$R/$1" ]; }
`

/**
 * vanish DIR: out of the way by one rename, then its mark, then removed, so that no release is ever in its place without the mark it had
 * and a mark alone counts as nothing; sweep: what was cut off at that, or at staging, goes. Directories that a release made read-only are no obstacle. What another
 * user left in it stays behind under the new name, with a line on stderr, and is tried again later.
 */
export const removing = `
vanish() {
  _v=\${1##*/}
  _v=$R/.gone.\${_v#.staging.}.$$
  [ ! -e "$_v" ] || _v=$_v.2
  rename "$1" "$_v" || return
  rm -f "$M/\${1##*/}"
  erase "$_v"
}
erase() {
  rm -rf "$1" 2>/dev/null || { chmod -R u+rwx "$1" 2>/dev/null; rm -rf "$1"; } || say "$1 could not be removed wholly"
  return 0
}
sweep() {
  for _f in "$R"/.gone.*-????????.* "$R"/.staging.*-????????; do
    if [ -d "$_f" ] && [ ! -L "$_f" ]; then erase "$_f"; fi
  done
}
`

/** A mark as the probe prints it: id, result, order, time. null: it is not one of ours. */
export function parseMark(line: string): Mark | null {
  const [id = '', result = '', order = '', at = ''] = line.split('\t')
  if (!isReleaseId(id) || !/^\d{1,15}$/.test(order) || !/^\d{1,15}$/.test(at)) return null
  if (result !== 'prepared' && result !== 'good' && result !== 'bad') return null
  return { id, result, order: Number(order), at: Number(at) }
}

export interface Kept {
  /** How many good releases stay. */
  readonly keep: number
  readonly current: string | null
  /** What `current` pointed to before. */
  readonly previous: string | null
  /** Of deployments that are not decided. */
  readonly unfinished: readonly string[]
}

/** Which marked releases go: all but the newest good ones, the current, the one before, and unfinished ones. Pure. */
export function prunable(marks: readonly Mark[], { keep, current, previous, unfinished }: Kept): readonly string[] {
  const newest = marks
    .filter(m => m.result === 'good')
    .toSorted((a, b) => b.order - a.order)
    .slice(0, keep)
  const staying = new Set([current, previous, ...unfinished, ...newest.map(m => m.id)])
  return marks.map(m => m.id).filter(id => !staying.has(id))
}
