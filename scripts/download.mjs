/**
 * What the tests need is downloaded once. A registry that fails for a moment, or is too slow, is asked again; what it says for good, as of a
 * checksum or a version that is not there, is final at once.
 */
import { spawnSync } from 'node:child_process'

/** How Go, npm and pip call a line that broke, a name that was not found, and a registry in trouble (429, 5xx). */
const moment = new RegExp(
  [
    'dial tcp|read tcp|i/o timeout|handshake timeout|deadline exceeded|unexpected EOF|stream error|server misbehaving|no such host',
    'ECONN(?:RESET|REFUSED|ABORTED)|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|EPIPE|ERR_SOCKET|socket hang up|code E(?:429|5\\d\\d)',
    'connection (?:reset|refused|broken|aborted)|timed? ?out|IncompleteRead|(?:429|500|502|503|504) (?:Too|Internal|Bad|Service|Gateway|Server)',
    'temporary failure|network is unreachable',
  ].join('|'),
  'i',
)
/** Whatever else is said: another try would be one too many. */
const final = /checksum mismatch|security error|EINTEGRITY|do not match the hashes/i

const wait = seconds => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000)

const mayPass = ({ error, status, stderr }) =>
  error === undefined ? status !== 0 && moment.test(stderr) && !final.test(stderr) : error.code === 'ETIMEDOUT'

/** spawnSync with text, tried again after each of the pauses (seconds) as long as it fails by what may pass. A try has 20 minutes. */
export function download(command, args, options = {}, pauses = [5, 20]) {
  for (const pause of [...pauses, null]) {
    const got = spawnSync(command, args, { timeout: 20 * 60_000, ...options, encoding: 'utf8' })
    if (pause === null || !mayPass(got)) return got
    console.log(`${command} ${args[0]}: what is downloaded for the tests did not come; once more in ${pause} s.`)
    wait(pause)
  }
}

/** What a program that failed has said; of one that was not there, or took too long, why. */
export const saidBy = ({ stderr, error }) => [stderr, error].filter(Boolean).join('\n')
