import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { directoryMissing, type StepScript, stepScript } from '../../src/fleet/step-script.ts'
import { runIn, shells } from './shells.ts'

const root = mkdtempSync(join(tmpdir(), 'step-script-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

const step = (script: string, more: Partial<StepScript> = {}) =>
  stepScript({ script, shell: 'bash', env: {}, secrets: {}, directory: root, ...more })

for (const shell of shells)
  describe(`a step, started by ${shell.name}`, () => {
    const run = (text: string, env?: NodeJS.ProcessEnv) =>
      runIn(shell, text, { stdin: 'not for the script\n', ...(env && { env }) })

    it('sees its variables and secrets as they are written', async () => {
      const value = `it's "a" $HOME \`id\` \\ \n  second line é\n`
      const ran = await run(
        step(`printf '%s|%s' "$PLAIN" "$SECRET"`, { env: { PLAIN: value }, secrets: { SECRET: value } }),
      )
      expect(ran).toMatchObject({ code: 0, stdout: `${value}|${value}`, stderr: '' })
    })

    it('lets a secret win over a variable of the same name', async () => {
      expect((await run(step('echo "$A"', { env: { A: 'plain' }, secrets: { A: 'secret' } }))).stdout).toBe('secret\n')
    })

    it('has an empty stdin, and so is never eaten by a command that reads', async () => {
      expect(await run(step('cat\nread -r line || echo nothing\necho after'))).toMatchObject({
        code: 0,
        stdout: 'nothing\nafter\n',
      })
    })

    it('shows nothing of script, variables and secrets in its argument list', async () => {
      const ran = await run(
        step('tr "\\0" " " </proc/$$/cmdline # hush-1', { env: { A: 'hush-2' }, secrets: { B: 'hush-3' } }),
      )
      expect(ran.stdout).toContain('bash --norc -eu')
      expect(ran.stdout).not.toContain('hush-')
    })

    it('stops at the first command that fails, also within a pipe, and at an unset variable', async () => {
      expect(await run(step('false\necho on'))).toMatchObject({ code: 1, stdout: '' })
      expect(await run(step('(exit 7) | cat\necho on'))).toMatchObject({ code: 7, stdout: '' })
      expect((await run(step('echo "$NOT_THERE"\necho on'))).code).not.toBe(0)
      expect(await run(step('set +e\nfalse\necho on'))).toMatchObject({ code: 0, stdout: 'on\n' })
    })

    for (const [what, script, code] of [
      ['exit', 'exit 6', 6],
      ['exit with CRLF', 'echo a\r\nexit 6\r\n', 6],
      ['exit in a trap', "trap 'exit 9' EXIT\ntrue", 9],
      ['the last command', 'if true; then sh -c "exit 5"; fi', 5],
      ['exec', 'exec sh -c "exit 4"', 4],
      ['the highest', 'exit 255', 255],
    ] as const)
      it(`ends with the script's exit code: ${what}`, async () => {
        expect((await run(step(script))).code).toBe(code)
      })

    for (const [what, script] of [
      ['a stray brace', 'echo a\n}\necho b'],
      ['an open quote', "echo 'a"],
      ['an open here-document and parenthesis', 'echo $(cat <<X\n'],
      ['an if without fi', 'if true; then echo a'],
    ] as const)
      it(`fails, and is not confused by, ${what}`, async () => {
        const ran = await run(`${step(script)}echo escaped`)
        expect(ran.code).not.toBe(0)
        expect(ran.stdout).not.toContain('escaped')
        expect(ran.stderr).not.toBe('')
      })

    it('takes a comment as its last line, and a script of nothing', async () => {
      expect((await run(step('echo a # the end'))).stdout).toBe('a\n')
      expect((await run(step('# nothing\n'))).code).toBe(0)
    })

    it('starts in its directory, in the home and below it', async () => {
      const odd = join(root, "it's a $dir")
      mkdirSync(join(odd, 'sub'), { recursive: true })
      const env = { PATH: process.env['PATH'], HOME: odd }
      expect((await run(step('pwd', { directory: odd }))).stdout).toBe(`${odd}\n`)
      expect((await run(step('pwd', { directory: '~' }), env)).stdout).toBe(`${odd}\n`)
      expect((await run(step('pwd', { directory: '~/sub' }), env)).stdout).toBe(`${odd}/sub\n`)
    })

    it('says which directory is missing, with an exit code of its own, and runs nothing', async () => {
      const ran = await run(step('echo ran', { directory: join(root, 'none') }))
      expect(ran).toMatchObject({ code: directoryMissing, stdout: '' })
      expect(ran.stderr).toContain(`the directory ${join(root, 'none')} does not exist`)
    })

    it('carries a script and a secret of more than an argument list holds', async () => {
      const long = `# ${'x'.repeat(98)}\n`.repeat(3000)
      const ran = await run2(step(`${long}echo "\${#BIG}"`, { secrets: { BIG: 'y'.repeat(100_000) } }))
      expect(ran).toMatchObject({ code: 0, stdout: '100000\n' })
    })
    // By a file: this test's own `sh -c` could not take so long a text either.
    const run2 = (text: string) => {
      const file = join(root, 'long.sh')
      writeFileSync(file, text)
      return runIn(shell, `. ${file}`)
    }

    it('runs as sh -eu', async () => {
      const ran = await run(step('echo "$-"; cat; false; echo on', { shell: 'sh' }))
      expect(ran.code).toBe(1)
      expect(ran.stdout).toMatch(/e/)
      expect(ran.stdout).toMatch(/u/)
      expect(ran.stdout).not.toContain('on')
    })

    it('runs in a login shell whose profile breaks under -eu and reads stdin', async () => {
      const home = mkdtempSync(join(root, 'home-'))
      writeFileSync(
        join(home, '.bash_profile'),
        'false\ncat\necho "$NEVER_SET" >/dev/null\nexport FROM_PROFILE=yes\ncd /\n',
      )
      const env = { PATH: process.env['PATH'], HOME: home }
      const ran = await run(
        step('echo "$FROM_PROFILE $A $PWD"; shopt -q login_shell; false; echo on', {
          shell: 'bash -l',
          env: { A: 'a' },
        }),
        env,
      )
      expect(ran).toMatchObject({ code: 1, stdout: `yes a ${root}\n` })
    })

    it('goes through sudo with exports and script on stdin', async () => {
      const bin = mkdtempSync(join(root, 'bin-'))
      writeFileSync(
        join(bin, 'sudo'),
        '#!/bin/sh\nexec 3<&-\n[ "$1 $2 $3 $4" = "-n -u app --" ] || exit 99\nshift 4\nexec env -i PATH="$PATH" HOME=/ AS=app "$@"\n',
      )
      chmodSync(join(bin, 'sudo'), 0o755)
      const env = { PATH: `${bin}:${process.env['PATH']}`, HOME: root, LEAK: 'no' }
      const ran = await run(
        step('echo "$AS $A $PWD"; env | grep -c LEAK || true; exit 3', { become: 'app', secrets: { A: 's3cret' } }),
        env,
      )
      expect(ran).toMatchObject({ code: 3, stdout: `app s3cret ${root}\n0\n` })
    })
  })

describe('building a step', () => {
  it('refuses a name that is none, so that nothing is run by a name', () => {
    expect(() => step('true', { env: { 'A=1; reboot #': 'x' } })).toThrow(/cannot be the name of a variable/)
  })
  it('refuses NUL in a value', () => {
    expect(() => step('true', { secrets: { A: 'a\0b' } })).toThrow(/NUL/)
  })
})
