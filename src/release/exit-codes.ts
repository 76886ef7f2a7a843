/** How the scripts of this folder end, and what that means to a person. */
import { type DeployError, type ErrorFacts, LockLostError, PreflightError, StepError } from '../errors.ts'

/** Codes from sysexits.h upwards that shells and the tools used here do not give by themselves. */
export const exitCodes = {
  lockLost: 75,
  currentIsDirectory: 76,
  unsafeState: 77,
  notPrepared: 78,
  unpackFailed: 79,
  sharedMissing: 80,
  noRoom: 81,
  renameFailed: 82,
  unmarkedIsCurrent: 83,
  damagedLock: 84,
  previewRefused: 85,
  previewsFull: 86,
} as const

export const LOCK_LOST = exitCodes.lockLost

const hints: Readonly<Record<number, string>> = {
  [exitCodes.currentIsDirectory]: 'run these two commands on the server, then deploy again',
  [exitCodes.unsafeState]:
    'the state directory has to be a directory of the SSH user; look at who made it, and remove it',
  [exitCodes.notPrepared]: 'choose a release that is there and was prepared; status lists them',
  [exitCodes.unpackFailed]: 'look at room on disk and at the rights of releases/',
  [exitCodes.sharedMissing]: 'put the file into shared/ on the server; directories are written with "/" at the end',
  [exitCodes.noRoom]: 'make room on the disk that holds the release path',
  [exitCodes.renameFailed]: 'the server needs mv -T (GNU, BusyBox), perl or python3, and rights to write there',
  [exitCodes.unmarkedIsCurrent]: 'run these commands on the server, then deploy again',
  [exitCodes.damagedLock]: 'when no deployment runs, remove the directory lock in the state directory',
  [exitCodes.previewRefused]:
    'a preview has a directory of its own, made by its first deployment; docs/previews.md has the rules',
  [exitCodes.previewsFull]: 'close a pull request, run the clean-up, or raise previews.limit',
}

const preflight: ReadonlySet<number> = new Set([
  exitCodes.currentIsDirectory,
  exitCodes.unsafeState,
  exitCodes.damagedLock,
  exitCodes.previewRefused,
  exitCodes.previewsFull,
])

/** The error that belongs to a script's exit code; its message is the last the script printed on stderr. */
export function releaseError(code: number, stderr: string, facts: ErrorFacts = {}): DeployError {
  const said = stderr.trim() || `the script ended with exit code ${code}`
  if (code === exitCodes.lockLost)
    return new LockLostError(said, { hint: 'another deployment took over; nothing more is done there', ...facts })
  const hint = hints[code]
  const all = hint === undefined ? facts : { hint, ...facts }
  return preflight.has(code) ? new PreflightError(said, all) : new StepError(said, all)
}
