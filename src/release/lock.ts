/**
 * The lock of an environment on a server: one directory entry whose name is the whole state, `free.N` or `held.N.TOKEN.BOOT.EXPIRY`.
 * Taking, renewing, releasing and taking over are each one rename of exactly the old name, so that of many at once one succeeds, and N,
 * which grows with each owner, is the fencing number. The usual mkdir and rename schemes were measured to give two owners.
 */
import { z } from 'zod'
import { quote } from '../fleet/quote.ts'
import { exitCodes } from './exit-codes.ts'
import { endGroups, makeState, reader } from './lock-scripts.ts'
import { releaseShared, takeShared } from './lock-shared.ts'
import { changing, leaseSeconds, type Owner, reading } from './prelude.ts'
import type { Site } from './site.ts'

const info = z.object({
  run: z.string().max(500).nullable(),
  actor: z.string().max(200).nullable(),
  /** ISO 8601. */
  startedAt: z.string().max(40),
  /** Of a fan-out: the same `of` is another shard of the same run with the same inputs; `build` is the release it deploys. */
  shards: z.object({ of: z.string().max(64), build: z.string().max(100) }).optional(),
})
/** What people see of a lock's owner. */
export type LockInfo = Readonly<z.output<typeof info>>

/**
 * Takes the lock when it is free, over or ours already, and ends what an owner before left running. The owner's info is in the entry
 * before its name changes: nobody sees a held lock without. Printed: see `parseTake`. Makes the state directory.
 */
export const takeLock = (site: Site, owner: Owner & { readonly info: LockInfo }): string =>
  owner.shared === undefined ? takeAlone(site, owner) : takeShared(site, owner, JSON.stringify(owner.info))

const takeAlone = (site: Site, owner: Owner & { readonly info: LockInfo }): string =>
  `${changing(site, owner)}${reader}${endGroups}${makeState(site)}
_a=0
while :; do
  _a=$((_a + 1))
  [ $_a -lt 200 ] || die ${exitCodes.damagedLock} "the lock in $L cannot be taken: the directory cannot be written, or is damaged"
  if ! entry; then
    first "$T"
    continue
  fi
  clock
  if [ "$t" = "$T" ]; then
    renew || continue
    printf 'taken\\t%s\\n' "$n"
    exit 0
  fi
  if [ -n "$t" ] && ! over; then
    whose || continue
    printf 'held\\t%s\\nholder\\t%s\\n' "$((ex - u))" "$_w"
    exit 0
  fi
  # On a full disk the lock can still be taken: what is to be seen of its owner is for people only.
  { printf '%s\\n' ${quote(JSON.stringify(owner.info))} >"$e/owner.$T"; } 2>/dev/null || [ -d "$e" ] || continue
  h=$L/held.$((n + 1)).$T.$b.$((u + ${leaseSeconds}))
  if rename "$e" "$h"; then break; fi
done
printf 'taken\\t%s\\n' "$((n + 1))"
if [ -n "$t" ]; then
  printf 'over\\t'
  told "$h/owner.$o"
  # What members of a shared lock recorded is ended as what its one owner did.
  for _f in "$h"/member.*/group.*; do if [ -e "$_f" ]; then rename "$_f" "$h/\${_f##*/}"; fi; done
  endGroups
fi
for _f in "$h"/*; do
  case \${_f##*/} in "owner.$T" | group.*) ;; *) rm -rf "$_f" ;; esac
done
exit 0
`

/** Another lease from now. Prints nothing; LOCK_LOST when it is not ours any more. */
export const renewLock = (site: Site, owner: Owner): string => `${changing(site, owner)}renew || lost\nexit 0\n`

/**
 * Ends what this owner left running when its connection was lost. A migration is in a session of its own and in no entry: it goes on.
 * Prints: see `parseLeft`. LOCK_LOST when the lock is not ours any more. To be run while the owner runs nothing else there.
 */
export const endLeft = (site: Site, owner: Owner): string =>
  `${changing(site, owner)}${endGroups}clock
endGroups
if [ -r /proc/$$/stat ]; then printf 'looked\\tyes\\n'; else printf 'looked\\tno\\n'; fi
exit 0
`

/**
 * Gives the lock back; what is not ours stays. Prints `released` or `gone`; or `busy`: a script of ours runs on that nobody could end
 * (through sudo, say), so the lock stays until its lease is over, and whoever takes it over sees that script.
 */
export const releaseLock = (site: Site, owner: Owner): string =>
  owner.shared === undefined ? releaseAlone(site, owner) : releaseShared(site, owner)

const releaseAlone = (site: Site, owner: Owner): string =>
  `${changing(site, owner)}${endGroups}clock
_a=0
while recorded && [ -n "$(living)" ]; do
  _a=$((_a + 1))
  if [ $_a -gt 20 ]; then printf 'busy\\n'; exit 0; fi
  sleep 0.1 2>/dev/null || sleep 1
done
_a=0
while held; do
  _a=$((_a + 1))
  [ $_a -lt 30 ] || die ${exitCodes.renameFailed} "the lock in $L cannot be given back"
  rm -rf "$h"/*
  if rename "$h" "$L/free.$n"; then printf 'released\\n'; exit 0; fi
done
printf 'gone\\n'
exit 0
`

/** Who holds the lock, as part of a script that reads. Prints see `parseLock`. */
export const lockLines = `${reader}
_y=
while entry || { _y=none; false; }; do if [ -z "$t" ] || whose; then break; fi; done
if [ -z "$_y" ]; then
  if [ -z "$t" ]; then printf 'lock\\tfree\\n'
  else
    clock
    if over; then printf 'lock\\tover\\n'; else printf 'lock\\t%s\\n' "$((ex - u))"; fi
    printf 'holder\\t%s\\n' "$_w"
  fi
else printf 'lock\\tnone\\n'; fi
`

export const readLock = (site: Site): string => `${reading(site)}${lockLines}exit 0\n`

export interface TakenOver {
  readonly info: LockInfo | null
  /** Process groups of the owner before that were ended, and those that this user may not end. */
  readonly ended: readonly number[]
  readonly stillRunning: readonly number[]
}
export type LockTaken =
  | { readonly taken: true; readonly fence: number; readonly takenOver?: TakenOver }
  /** twice: by another process that is the same member of the same run. */
  | { readonly taken: false; readonly holder: LockInfo | null; readonly secondsLeft: number; readonly twice?: true }

export type LockState =
  | { readonly state: 'none' | 'free' }
  /** secondsLeft 0: its lease is over, and the next deployment takes it. */
  | { readonly state: 'held'; readonly holder: LockInfo | null; readonly secondsLeft: number }

const valuesOf = (stdout: string, key: string): readonly string[] =>
  stdout
    .split('\n')
    .filter(line => line.startsWith(`${key}\t`))
    .map(line => line.slice(key.length + 1))

function infoOf(text: string | undefined): LockInfo | null {
  try {
    const read = info.safeParse(JSON.parse(text ?? 'null'))
    return read.success ? read.data : null
  } catch {
    return null
  }
}

const wholeNumber = (text: string | undefined): number | null =>
  text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : null

export interface Left {
  /** Process groups that were still running and were ended, and those that this user may not end. */
  readonly ended: readonly number[]
  readonly stillRunning: readonly number[]
  /** false: the server cannot tell what runs. */
  readonly known: boolean
}

const groupsOf = (stdout: string) => {
  const groups = (key: string) => valuesOf(stdout, key).flatMap(text => wholeNumber(text) ?? [])
  return { ended: groups('ended'), stillRunning: groups('alive') }
}

/** What `endLeft` printed; null: not an answer of it. */
export function parseLeft(stdout: string): Left | null {
  const looked = valuesOf(stdout, 'looked')[0]
  return looked === undefined ? null : { ...groupsOf(stdout), known: looked === 'yes' }
}

/** What `takeLock` printed; null: not an answer of it. */
export function parseTake(stdout: string): LockTaken | null {
  const fence = wholeNumber(valuesOf(stdout, 'taken')[0])
  if (fence !== null) {
    const over = valuesOf(stdout, 'over')
    if (over.length === 0) return { taken: true, fence }
    return {
      taken: true,
      fence,
      takenOver: { info: infoOf(over[0]), ...groupsOf(stdout) },
    }
  }
  const secondsLeft = wholeNumber(valuesOf(stdout, 'held')[0])
  if (secondsLeft === null) return null
  const twice = valuesOf(stdout, 'twice').length > 0 ? { twice: true as const } : {}
  return { taken: false, holder: infoOf(valuesOf(stdout, 'holder')[0]), secondsLeft, ...twice }
}

/** What `readLock` printed; null: not an answer of it. */
export function parseLock(stdout: string): LockState | null {
  const said = valuesOf(stdout, 'lock')[0]
  if (said === 'none' || said === 'free') return { state: said }
  const secondsLeft = said === 'over' ? 0 : wholeNumber(said)
  return secondsLeft === null ? null : { state: 'held', holder: infoOf(valuesOf(stdout, 'holder')[0]), secondsLeft }
}

/** What `releaseLock` printed; null: not an answer of it. */
export function parseRelease(stdout: string): 'released' | 'gone' | 'busy' | null {
  const said = stdout.trim()
  return said === 'released' || said === 'gone' || said === 'busy' ? said : null
}
