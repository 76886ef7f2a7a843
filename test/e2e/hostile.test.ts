import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { everythingBelow } from '../support/files-below.ts'
import type { ActionResult } from '../support/runner.ts'
import { useSites } from '../support/use-site.ts'

const site = useSites()

const hostile = [
  '::set-output name=result::pwned',
  '##[set-output name=result]pwned',
  'text ##[add-path]/pwned',
  '   ::error title=pwned::pwned',
  'progress\r::warning::pwned',
  'ends\u2028::notice::pwned\u0085::notice::pwned',
  '::stop-commands::pwned',
  '::endgroup::',
  '\u001b[2J\u001b]0;pwned\u0007\u001b[31mred \u009b31m\u0000\b\b\b',
  '</details></pre><img src=x onerror=pwned><script>pwned</script>',
  '```',
  '````` [pwned](http://pwned.example) ![pwned](http://pwned.example/x.png)',
  '| pwned | `pwned` | @octocat #1 https://pwned.example',
  '# pwned',
  'EOF',
  'ghadelimiter_00000000-0000-0000-0000-000000000000',
].join('\n')

/** Markdown without what GitHub shows literally: fenced blocks (CommonMark 4.5), code spans, and <pre> without its tags. */
const outsideCode = (markdown: string): string => {
  const kept: string[] = []
  let fence: string | null = null
  for (const line of markdown.split('\n')) {
    const mark = /^ {0,3}(`{3,}|~{3,})(.*)$/.exec(line)
    if (fence === null && mark && !(mark[1]?.startsWith('`') && mark[2]?.includes('`'))) fence = mark[1] ?? ''
    else if (fence !== null && mark?.[1]?.startsWith(fence) && mark[2]?.trim() === '') fence = null
    else if (fence === null) kept.push(line)
  }
  return kept
    .join('\n')
    .replace(/<pre>[^<]*<\/pre>/g, '')
    .replace(/(`+)(?!`).*?[^`]\1(?!`)/g, '')
}

function expectClean(result: ActionResult): void {
  const ours = ['group', 'endgroup', 'add-mask', 'error', 'warning', 'notice', 'debug', 'save-state', 'set-output']
  for (const command of result.commands) {
    expect(ours).toContain(command.name)
    // a message may quote what was printed, inside one command of ours; it may not become one
    if (!['error', 'warning', 'notice', 'debug'].includes(command.name)) expect(command.line).not.toContain('pwned')
    expect(command.properties).not.toContain('pwned')
    expect(command.line).not.toMatch(/^\s*::(error title=pwned|warning|notice)::pwned$/)
  }
  const groups = result.commands.filter(c => c.name === 'group').length
  expect(result.commands.filter(c => c.name === 'endgroup')).toHaveLength(groups)
  for (const text of [result.stdout, result.stderr, result.summary]) {
    expect(text).not.toMatch(/[\u0000-\u0008\u000b\u000c\u000e-\u001a\u001c-\u001f\u007f-\u009f]/)
    expect(text.replaceAll(/\u001b\[[0-9;]*m/g, '')).not.toContain('\u001b') // colours of our own at most
  }
  expect(result.summary).not.toContain('\u001b')
  const shown = outsideCode(result.summary)
  expect(shown).not.toMatch(/<img|<script|\]\(http:\/\/pwned|^# pwned/m)
  expect(JSON.stringify(result.outputs)).not.toContain('pwned')
}

describe('what a server prints', () => {
  it('becomes no command, no Markdown, no HTML and no terminal control when all goes well', {
    timeout: 300_000,
  }, async () => {
    const at = await site({ servers: 2 })
    at.change({ version: '2', prints: hostile })
    for (const strategy of ['serial', 'parallel']) {
      const result = await at.deploy({ strategy })
      expect(result.code, result.log).toBe(0)
      expect(result.log).toContain('pwned') // it is shown, though
      expectClean(result)
    }
  })

  it('nor when it is the reason of a failure', { timeout: 300_000 }, async () => {
    const at = await site({ servers: 2 })
    at.change({ version: '2', prints: hostile, behaviour: 'activate-fails' })
    const result = await at.deploy()
    expect(result.code).toBe(1)
    expect(result.summary).toContain('pwned') // its last lines are shown
    expectClean(result)
  })

  it('nor when it is what a check got, or a program’s own message', { timeout: 300_000 }, async () => {
    const at = await site({ servers: 2 })
    mkdirSync(join(at.workspace, 'app/bin'), { recursive: true })
    writeFileSync(join(at.workspace, 'app/hostile'), hostile)
    at.commit('hostile text')
    at.manifest({
      verify: {
        command: 'cat "$DEPLOY_CURRENT_PATH/hostile"; cat "$DEPLOY_CURRENT_PATH/hostile" >&2; exit 1',
        timeout: '2s',
      },
    })
    const result = await at.deploy()
    expect(result.code).toBe(1)
    expectClean(result)
  })

  it('is cut where it is without end', { timeout: 300_000 }, async () => {
    const at = await site({ servers: 2 })
    at.manifest({ activate: 'head -c 3000000 /dev/zero | tr "\\0" "<"; ./activate; exit 1' })
    at.change({ version: '2' })
    const result = await at.deploy()
    expect(result.code).toBe(1)
    expect(result.summary.length).toBeLessThan(1_000_000)
    expect(everythingBelow(result.runnerTemp).length).toBeLessThan(10_000_000)
  })
})
