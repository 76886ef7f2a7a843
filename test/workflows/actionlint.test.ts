import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
// @ts-expect-error: a script of the project, without types
import { goTool } from '../../scripts/go-tools.mjs'
import { because, withoutGoTools } from './go-tools.ts'
import { read, workflows } from './read.ts'

interface Finding {
  readonly message: string
  readonly line: number
}

/** actionlint 1.7.12 is older than this key (rhysd/actionlint#657). Its value is looked at below. */
const notKnownYet = 'unexpected key "queue" for "concurrency" section. expected one of "cancel-in-progress", "group"'

function findingsOf(text: string): readonly string[] {
  // No shellcheck and no pyflakes: the scripts are single commands, and the two are not on every machine.
  const words = ['-format', '{{json .}}', '-shellcheck=', '-pyflakes=', '-']
  const { stdout, stderr } = spawnSync(goTool('actionlint') as string, words, { input: text, encoding: 'utf8' })
  if (stdout === '') throw new Error(stderr)
  return (JSON.parse(stdout) as Finding[]).map(f => f.message).filter(message => message !== notKnownYet)
}

describe.skipIf(withoutGoTools)(`actionlint${because}`, () => {
  it.each(workflows)('finds nothing in %s', file => {
    expect(findingsOf(readFileSync(file, 'utf8'))).toEqual([])
  })

  it('finds a wrong word, and any other key of concurrency', () => {
    const text = readFileSync('examples/workflows/rollback.yml', 'utf8')
    expect(findingsOf(text.replace('queue: max', 'quue: max'))).toHaveLength(1)
    expect(findingsOf(text.replace('inputs.release', 'inputs.relaese'))).toHaveLength(1)
  })
})

it('the key that actionlint does not know has the value that GitHub knows', () => {
  const groups = workflows.flatMap(file => {
    const { concurrency, jobs } = read(file)
    return [concurrency, ...Object.values(jobs).map(j => j.concurrency)]
  })
  for (const group of groups) expect(['max', undefined]).toContain(group?.queue)
})
