import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

let project = ''
beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), 'without-go-'))
  mkdirSync(join(project, 'scripts'))
  mkdirSync(join(project, 'bin'))
  for (const name of ['go-tools.mjs', 'download.mjs', 'node24.mjs'])
    copyFileSync(`scripts/${name}`, join(project, 'scripts', name))
})
afterEach(() => rmSync(project, { recursive: true, force: true }))

/** What `npm test` would print of it, and whether it would go on. */
function install(env: Readonly<Record<string, string>>) {
  const code = "const t = await import('./scripts/go-tools.mjs'); console.log(t.installGoTools() ?? 'all there')"
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    cwd: project,
    encoding: 'utf8',
    env: { PATH: join(project, 'bin'), ...env },
  })
  return { goesOn: status === 0, said: stdout + stderr }
}

function writeGo(script: string): void {
  writeFileSync(join(project, 'bin/go'), `#!/bin/sh\n${script}\n`)
  chmodSync(join(project, 'bin/go'), 0o755)
}

describe('actionlint and act', () => {
  it('are left out with a word where Go is missing, and in CI that is a failure', () => {
    const here = install({})
    expect(here.goesOn).toBe(true)
    expect(here.said).toMatch(/Go is missing.*actionlint.*Install Go/)
    const inCi = install({ CI: 'true' })
    expect(inCi.goesOn).toBe(false)
    expect(inCi.said).toMatch(/Go is missing/)
  })

  it('that cannot be had are a failure anywhere, with what Go said', () => {
    writeGo('echo "verifying module: checksum mismatch" >&2; exit 1')
    const { goesOn, said } = install({})
    expect(goesOn).toBe(false)
    expect(said).toMatch(/actionlint@v\d.* is not to be had: verifying module: checksum mismatch/)
  })

  it('are asked for again where a registry fails for a moment, and built when it is there', () => {
    const first = '[ -e tried ] || { touch tried; echo "dial tcp 192.0.2.1:443: i/o timeout" >&2; exit 1; }'
    writeGo(`PATH=/usr/bin:/bin; ${first}\nfor tool in act actionlint; do cp "$0" "$GOBIN/$tool"; done`)
    const { goesOn, said } = install({ CI: 'true' })
    expect([goesOn, said]).toEqual([true, expect.stringMatching(/go install: .* once more in 5 s\.\nall there\n$/)])
  })

  it('are built in one version each, and compared with the checksum database whatever the machine exempts', () => {
    writeGo('echo "$* $GOSUMDB $GOFLAGS[$GOPRIVATE$GONOSUMDB]" >&2; exit 1')
    const { said } = install({ GOPRIVATE: '*', GONOSUMDB: '*', GOSUMDB: 'off', GOFLAGS: '-insecure' })
    expect(said).toMatch(/install github\.com\/rhysd\/actionlint\S*@v\d+\.\d+\.\d+ sum\.golang\.org -mod=mod .*\[\]/)
  })
})
