import { describe, expect, it } from 'vitest'
import { importsOf, readSources, src, violations } from '../../scripts/arrows.ts'

const of = (path: string, text: string) => violations([{ path, text }])

describe('the arrows between the folders', () => {
  it('all point the way the architecture says', () => {
    const sources = readSources(src)
    expect(sources.length).toBeGreaterThan(20)
    expect(violations(sources)).toEqual([])
  })

  it.each([
    ['manifest/read.ts', "import { readFileSync } from 'node:fs'", 'manifest/ does no I/O'],
    ['manifest/read.ts', "import type { Plan } from '../plan/plan.ts'", 'manifest may not import plan/plan.ts'],
    ['plan/gate.ts', "import { systemClock } from '../clock.ts'", 'plan/ knows no clock'],
    ['plan/gate.ts', 'export const at = () => Date.now()', 'no Date.now'],
    ['plan/gate.ts', "import {\n  type Event,\n} from '../report/events.ts'", 'may not import report/events.ts'],
    ['fleet/ssh.ts', "import { ranges } from '../manifest/ranges.ts'", 'may not import manifest/ranges.ts'],
    ['balancers/haproxy.ts', "export { way } from '../rollout/way.ts'", 'may not import rollout/way.ts'],
    ['rollout/server.ts', "import { writeLog } from '../report/log.ts'", 'may not import report/log.ts'],
    ['release/upload.ts', "const ssh = await import('ssh2')", 'only fleet/ imports ssh2'],
    ['github/comment.ts', "import { log } from './../report/log.ts'", 'may not import report/log.ts'],
    ['verify/http.ts', "import '../main.ts'", 'may not import main.ts'],
    ['rollout/way.ts', "import { a } from '../fleet/quote'", 'does not name its .ts file'],
    ['rollout/way.ts', "import { a } from '../../scripts/arrows.ts'", 'lies outside src/'],
    ['report/log.ts', 'process.stdout.write(text)', 'only output.ts writes to stdout'],
    ['rollout/way.ts', "console.log('out')", 'only output.ts writes to stdout'],
    ['fleet/ssh.ts', 'process.stdout.write(text)', 'only output.ts writes to stdout'],
    ['commands/deploy.ts', "const who = process.env['INPUT_SERVERS']", 'only inputs.ts'],
    ['commands/deploy.ts', "getInput('servers')", 'only inputs.ts reads inputs'],
    ['helpers/x.ts', '', 'no place in the table'],
  ])('%s is caught at: %s', (path, text, sentence) => {
    expect(of(path, text).join('\n')).toContain(sentence)
  })

  it.each([
    ['fleet/ssh.ts', "import type { Server } from '../manifest/manifest.ts'"],
    ['fleet/ssh.ts', "import { type Server } from '../manifest/manifest.ts'\nimport ssh2 from 'ssh2'"],
    ['rollout/way.ts', "import type { Emit } from '../report/events.ts'\n// import { x } from '../report/log.ts'"],
    ['output.ts', "console.log('out')"],
    ['plan/gate.ts', "/** console.log, Date.now */\nimport { InputError } from '../errors.ts'"],
    ['verify/http.ts', "const help = 'https://example.com' // process.stdout"],
  ])('%s is left alone with: %s', (path, text) => {
    expect(of(path, text)).toEqual([])
  })

  it('are seen in every form an import takes', () => {
    const text = [
      "import ssh2 from 'ssh2'",
      "import * as path from 'node:path'",
      'import {',
      '  a,',
      '  type B,',
      "} from './one.ts'",
      "import type { C } from './two.ts'",
      "export * from './three.ts'",
      "export { type D, type E } from './four.ts'",
      "import './five.ts'",
      "const six = await import('./six.ts')",
      "const notOne = 'from ./seven.ts'",
    ].join('\n')
    expect(importsOf(text)).toEqual([
      { from: 'ssh2', typeOnly: false },
      { from: 'node:path', typeOnly: false },
      { from: './one.ts', typeOnly: false },
      { from: './two.ts', typeOnly: true },
      { from: './three.ts', typeOnly: false },
      { from: './four.ts', typeOnly: true },
      { from: './five.ts', typeOnly: false },
      { from: './six.ts', typeOnly: false },
    ])
  })
})
