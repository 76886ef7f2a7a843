/**
 * Writes what is generated: the tables of inputs and outputs in README.md from action.yml, and the reference and the JSON Schema of the
 * manifest from its one definition. With `--check` nothing is written, and a file that is not what would be written is a failure.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { referencePage } from '../src/manifest/reference.ts'
import { jsonSchema } from '../src/manifest/schema-json.ts'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

interface Action {
  readonly inputs: Readonly<Record<string, { readonly description: string; readonly default: string }>>
  readonly outputs: Readonly<Record<string, { readonly description: string }>>
}

const cell = (text: string) => text.trim().replace(/\s+/g, ' ').replaceAll('|', '\\|')
const code = (text: string) => (text === '' ? '' : `\`${cell(text)}\``)

/** The tables of action.yml, by the name of their place in the README. */
export function tables(actionYaml: string): Readonly<Record<'inputs' | 'outputs', string>> {
  const action = parse(actionYaml) as Action
  const inputs = Object.entries(action.inputs).map(
    ([name, i]) => `| \`${name}\` | ${code(i.default)} | ${cell(i.description)} |`,
  )
  const outputs = Object.entries(action.outputs).map(([name, o]) => `| \`${name}\` | ${cell(o.description)} |`)
  return {
    inputs: ['| input | default | meaning |', '|---|---|---|', ...inputs].join('\n'),
    outputs: ['| output | meaning |', '|---|---|', ...outputs].join('\n'),
  }
}

/** The page with each `<!-- NAME: generated … -->` … `<!-- /NAME -->` filled. Throws when a place is not there. */
export function filled(page: string, contents: Readonly<Record<string, string>>): string {
  return Object.entries(contents).reduce((text, [name, content]) => {
    const place = new RegExp(`(<!-- ${name}: generated[^>]*-->\\n)[\\s\\S]*?(<!-- /${name} -->)`)
    if (!place.test(text)) throw new Error(`the page has no place <!-- ${name}: generated --> … <!-- /${name} -->`)
    return text.replace(place, (_all, open: string, close: string) => `${open}\n${content}\n\n${close}`)
  }, page)
}

const read = (path: string) => (existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : '')

/** As the formatter would have it, so that formatting everything changes nothing that is generated. */
const formatted = (path: string, text: string): string =>
  execFileSync(
    process.execPath,
    [join(root, 'node_modules/@biomejs/biome/bin/biome'), 'format', `--stdin-file-path=${path}`],
    {
      cwd: root,
      input: text,
      encoding: 'utf8',
      stdio: 'pipe',
    },
  )

/** Every generated file, by its path. */
export const generated = (): Readonly<Record<string, string>> => ({
  'README.md': formatted('README.md', filled(read('README.md'), tables(read('action.yml')))),
  'docs/manifest.schema.json': `${JSON.stringify(jsonSchema(), null, 2)}\n`,
  'docs/manifest.md': formatted('docs/manifest.md', referencePage()),
})

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const stale = Object.entries(generated()).filter(([path, text]) => read(path) !== text)
  const check = process.argv.includes('--check')
  for (const [path, text] of stale) {
    if (check) console.error(`${path} is not up to date: run \`npm run docs\` and commit it`)
    else {
      mkdirSync(dirname(join(root, path)), { recursive: true })
      writeFileSync(join(root, path), text)
      console.log(`written: ${path}`)
    }
  }
  process.exitCode = check && stale.length > 0 ? 1 : 0
}
