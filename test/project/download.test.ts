/** A registry's trouble that passes fails no test; what is said for good is not asked for again. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
// @ts-expect-error: a script of the project, without types
import { download, saidBy } from '../../scripts/download.mjs'

let place = ''
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'download-'))
})
afterEach(() => rmSync(place, { recursive: true, force: true }))

/** A program that fails so often with these words, then succeeds; how often it was started. */
function tries(words: string, failures: number, options: object = {}) {
  const [log, text] = [join(place, 'log'), join(place, 'words')]
  writeFileSync(text, words)
  const script = `echo x >> "$1"; [ "$(wc -l < "$1")" -gt "$2" ] || { cat "$3" >&2; exit 1; }`
  const got = download('sh', ['-c', script, 'sh', log, String(failures), text], options, [0.01, 0.01])
  return { ok: got.status === 0, said: saidBy(got), times: readFileSync(log, 'utf8').length / 2 }
}

describe('a download', () => {
  it.each([
    ['go', 'Get "https://proxy.example/a/@v/v1.zip": dial tcp 192.0.2.1:443: connect: connection refused'],
    ['go', 'reading https://proxy.example/a/@v/v1.mod: 502 Bad Gateway'],
    ['go', 'Get "https://proxy.example/a": net/http: TLS handshake timeout'],
    ['npm', 'npm error code ECONNRESET\nnpm error network aborted'],
    ['npm', 'npm error code E503\nnpm error 503 Service Unavailable - GET https://registry.example/a'],
    ['pip', "ERROR: HTTPSConnectionPool(host='files.example', port=443): Read timed out."],
    ['pip', 'ProtocolError: ("Connection broken: IncompleteRead(10 bytes read)")'],
  ])('of %s is tried again: %j', (_, words) => {
    expect(tries(words, 2)).toEqual({ ok: true, said: '', times: 3 })
  })

  it('is tried three times, and then it has failed, with what was said last', () => {
    expect(tries('dial tcp: i/o timeout', 9)).toEqual({ ok: false, said: 'dial tcp: i/o timeout', times: 3 })
  })

  it.each([
    'verifying github.com/a/b@v1.0.0: checksum mismatch\nread tcp: i/o timeout',
    'go: github.com/a/b@v9.9.9: invalid version: unknown revision v9.9.9',
    'npm error code EINTEGRITY',
    'npm error code ETARGET\nnpm error notarget No matching version found for a@9',
    'ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.',
    'ERROR: No matching distribution found for a==500.1',
  ])('is not tried again after: %j', words => {
    expect(tries(words, 1)).toEqual({ ok: false, said: words, times: 1 })
  })

  it('that hangs is ended and tried again', () => {
    const [log, script] = [join(place, 'log'), 'echo x >> "$1"; exec sleep 600']
    const got = download('sh', ['-c', script, 'sh', log], { timeout: 5_000 }, [0.01])
    expect([got.status, readFileSync(log, 'utf8')]).toEqual([null, 'x\nx\n'])
    expect(saidBy(got)).toContain('ETIMEDOUT')
  })

  it('by a program that is not there is none', () => {
    const got = download(join(place, 'none'), [])
    expect([got.error.code, existsSync(place)]).toEqual(['ENOENT', true])
  })
})
