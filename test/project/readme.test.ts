import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { filled, generated, tables } from '../../scripts/docs.ts'
import { InputError } from '../../src/errors.ts'
import { readRequest } from '../../src/inputs.ts'
import { readManifest } from '../../src/manifest/read.ts'

const readme = readFileSync('README.md', 'utf8')
const blocks = [...readme.matchAll(/```yaml\n([\s\S]*?)```/g)].map(match => match[1] ?? '')

interface Action {
  readonly inputs: Readonly<Record<string, { readonly description: string; readonly default?: unknown }>>
  readonly outputs: Readonly<Record<string, { readonly description: string }>>
  readonly runs: Readonly<Record<string, string>>
}
const action = parse(readFileSync('action.yml', 'utf8')) as Action

describe('the README', () => {
  it('has a manifest that this version carries out', () => {
    const manifest = readManifest({ file: 'README.md', text: blocks[0] ?? '', environment: null })
    expect(manifest.servers.map(s => s.name)).toEqual(['web1', 'web2'])
  })

  it('has a workflow that hands over only inputs there are, and the secret of its manifest', () => {
    const workflow = parse(blocks[1] ?? '') as {
      readonly jobs: { readonly deploy: { readonly steps: readonly { uses?: string; with?: object; env?: object }[] } }
    }
    const step = workflow.jobs.deploy.steps.find(s => s.uses?.startsWith('org/deploy-action@'))
    expect(Object.keys(action.inputs)).toEqual(expect.arrayContaining(Object.keys(step?.with ?? { none: '' })))
    expect(Object.keys(step?.env ?? {})).toEqual(['DATABASE_URL'])
  })

  it('names the two commands, and package.json has them', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }
    expect(readme).toContain('\nnpm run demo\n')
    expect(readme).toContain('\nnpm cit\n')
    expect([scripts['demo'], scripts['test']]).toEqual(['node scripts/demo.mjs', 'node scripts/test.mjs'])
  })

  it('links only to what is there', () => {
    const links = [...readme.matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map(match => match[1] ?? '')
    expect(links.length).toBeGreaterThan(5)
    expect(links.filter(link => !existsSync(join(dirname('README.md'), link)))).toEqual([])
  })
})

describe('what is generated', () => {
  it.each(Object.entries(generated()))('%s is up to date', (path, text) => {
    expect(readFileSync(path, 'utf8')).toBe(text)
  })

  it('shows each input with its default, and keeps the table whole whatever a description holds', () => {
    const yaml = "inputs: {a-b: {description: 'one | two\n  three', default: 'x'}}\noutputs: {o: {description: what}}"
    expect(tables(yaml).inputs.split('\n').at(-1)).toBe('| `a-b` | `x` | one \\| two three |')
    expect(tables(yaml).outputs.split('\n').at(-1)).toBe('| `o` | what |')
  })

  it('goes into its place and leaves the rest of the page alone', () => {
    const page = 'before\n<!-- inputs: generated -->\nold\n<!-- /inputs -->\nafter'
    const once = filled(page, { inputs: 'new' })
    expect(once).toBe('before\n<!-- inputs: generated -->\n\nnew\n\n<!-- /inputs -->\nafter')
    expect(filled(once, { inputs: 'new' })).toBe(once)
    expect(() => filled('no place', { inputs: 'new' })).toThrow('no place <!-- inputs')
  })
})

describe('action.yml', () => {
  it('starts the one bundle on Node 24, for main and post', () => {
    expect(action.runs).toEqual({ using: 'node24', main: 'dist/index.js', post: 'dist/index.js' })
  })

  it('has every input that the program reads, and no other', () => {
    let known: readonly string[] = []
    try {
      readRequest({}, ['plan', '--no-such-input', 'x'], '/')
    } catch (error) {
      if (!(error instanceof InputError)) throw error
      known = [...(error.hint ?? '').matchAll(/--([a-z-]+)/g)].map(match => match[1] ?? '')
    }
    const byArgument = known.filter(name => !name.endsWith('-file'))
    const neverByArgument = ['ssh-key', 'ssh-key-passphrase', 'github-token']
    expect(Object.keys(action.inputs).sort()).toEqual([...byArgument, ...neverByArgument].sort())
  })

  it('has defaults that the program takes', () => {
    const defaults = Object.entries(action.inputs).map(([name, input]) => [
      `INPUT_${name.toUpperCase()}`,
      String(input.default ?? '').replace(/^\$\{\{.*\}\}$/, ''),
    ])
    const request = readRequest({ GITHUB_ACTIONS: 'true', ...Object.fromEntries(defaults) }, [], '/')
    expect(request).toMatchObject({
      command: 'deploy',
      manifest: 'deploy.yml',
      strategy: null,
      migrate: null,
      servers: 'all',
      sshStrict: true,
    })
  })

  it('describes every input and output, and quotes every default', () => {
    for (const each of [...Object.values(action.inputs), ...Object.values(action.outputs)])
      expect(each.description.length).toBeGreaterThan(10)
    for (const input of Object.values(action.inputs)) expect(typeof input.default).toBe('string')
  })
})
