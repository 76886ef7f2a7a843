import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readDocument } from '../../src/manifest/document.ts'
import { nodeAt, placeOf, plain } from '../../src/manifest/node.ts'
import { pointTo } from '../../src/manifest/source.ts'
import { problems, problemsIn } from './reading.ts'

const values = (text: string) => {
  const { root, problems: found } = readDocument('f.yml', text)
  expect(found).toEqual([])
  return root === null ? undefined : plain(root)
}
const wrong = (text: string) =>
  readDocument('f.yml', text).problems.map(p => `${p.line}:${p.column} ${p.message} → ${p.hint}`)

describe('text', () => {
  it.each([
    '1.10',
    '0123',
    '0x1f',
    '1e3',
    'yes',
    'no',
    'on',
    'off',
    'y',
    'true',
    'False',
    '2024-01-02',
    '1_000',
    '.inf',
    '12:30:00',
    '=',
    '1.0.0',
  ])('stays as written: %s', written =>
    expect(values(`a: ${written}\n${written}: b`)).toEqual({ a: written, [written]: 'b' }),
  )

  it.each(['null', 'Null', 'NULL', '~', ''])('is null when it is written as null: "%s"', written =>
    expect(values(`a: ${written}\nb: [x, ~]`)).toEqual({ a: null, b: ['x', null] }),
  )

  it('is the value of a quoted text, also where that looks like null', () => {
    expect(values(`a: "null"\nb: ''\nc: "~"\nd: "a\\tb"`)).toEqual({ a: 'null', b: '', c: '~', d: 'a\tb' })
  })

  it('of blocks keeps its lines, and reads CRLF as line ends', () => {
    expect(values('a: |\r\n  x\r\n  y\r\nb: >\r\n  x\r\n  y\r\n')).toEqual({ a: 'x\ny\n', b: 'x y\n' })
  })

  it('read from JSON is the same as from YAML, tabs or not', () => {
    expect(values('{\n\t"a": [1.10, true, null, "x\\u00e9"],\n\t"b": {"c": 1e3}\n}')).toEqual({
      a: ['1.10', 'true', null, 'xé'],
      b: { c: '1e3' },
    })
  })

  it('of any kind survives JSON', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 20 })
    const tree = fc.letrec(tie => ({
      any: fc.oneof({ maxDepth: 3 }, text, fc.constant(null), fc.array(tie('any'), { maxLength: 4 }), tie('map')),
      map: fc.dictionary(
        text.filter(t => t !== '<<' && t !== '__proto__'),
        tie('any'),
        { maxKeys: 4, noNullPrototype: true },
      ),
    }))
    fc.assert(fc.property(tree.map, value => void expect(values(JSON.stringify(value))).toEqual(value)))
  })

  it('that is a plain word stays the word', () => {
    const word = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._/+-]{0,12}$/).filter(w => !/^(null|Null|NULL)$/.test(w))
    fc.assert(
      fc.property(
        word,
        w => void expect(values(`a: ${w}\nb: [${w}]\nc:\n  - ${w}\n`)).toEqual({ a: w, b: [w], c: [w] }),
      ),
    )
  })
})

describe('places', () => {
  const text = 'a: 1\nb:\n  - x\n  - c: "y"\n    d:\n'
  const { root } = readDocument('f.yml', text)
  const at = (path: readonly PropertyKey[], on: 'key' | 'value') => {
    if (root === null) throw new Error('not read')
    const { line, column, source } = pointTo(placeOf(root, path, on))
    return [line, column, source]
  }

  it('of keys and values are known', () => {
    expect(at(['a'], 'value')).toEqual([1, 4, 'a: 1'])
    expect(at(['b', 1, 'c'], 'key')).toEqual([4, 5, '  - c: "y"'])
    expect(at(['b', 1, 'c'], 'value')).toEqual([4, 8, '  - c: "y"'])
    expect(at(['b', 0], 'key')).toEqual([3, 5, '  - x'])
  })
  it('of nothing are those of its key', () => expect(at(['b', 1, 'd'], 'value')).toEqual([5, 5, '    d:']))
  it('of what is not there are those of its parent', () => {
    expect(at(['b', 1, 'z'], 'value')).toEqual([4, 5, '  - c: "y"'])
    expect(at(['z'], 'key')).toEqual([1, 1, 'a: 1'])
  })
  it('count from the first character after a byte order mark', () => {
    const marked = readDocument('f.yml', '\uFEFFa: @x')
    expect(marked.problems[0]).toMatchObject({ line: 1, column: 4, source: 'a: @x' })
  })
})

describe('anchors and aliases', () => {
  it('work', () =>
    expect(values('a: &x {b: [1]}\nc: *x\nd: [*x, &y 2, *y]')).toEqual({
      a: { b: ['1'] },
      c: { b: ['1'] },
      d: [{ b: ['1'] }, '2', '2'],
    }))
  it('mean the anchor before them', () =>
    expect(values('a: &x 1\nb: *x\nc: &x 2\nd: *x')).toEqual({ a: '1', b: '1', c: '2', d: '2' }))
  it('that would fill the memory are refused', () => {
    const level = (n: number) =>
      `l${n}: &l${n} [${Array(10)
        .fill(`*l${n - 1}`)
        .join(', ')}]\n`
    expect(wrong(`l0: &l0 [1]\n${[1, 2, 3, 4, 5, 6, 7, 8].map(level).join('')}`)).toEqual([
      '1:1 with its aliases written out the file has more than 200000 values → use fewer aliases',
    ])
  })
  it('inside what they stand for are refused', () =>
    expect(wrong('a: &x {b: *x}')).toEqual(['1:11 *x stands inside the value it stands for → write the value out']))
})

describe('the traps of YAML', () => {
  it.each([
    ['a:\n\tb: 1', '2:1 a tab stands in the indentation → YAML is indented with spaces'],
    ['a: |\n\techo', '2:1 a tab stands in the indentation → YAML is indented with spaces'],
    ['a: 1\nb: 2\na: 3', '3:1 "a" stands here a second time → keep one of them; the first is in line 1'],
    [
      'a: *.map',
      '1:4 *.map: text that begins with "*" is an alias in YAML, and there is no anchor of that name → write it in quotes: \'*.map\'',
    ],
    [
      'a: [x, *.js]',
      '1:8 *.js: text that begins with "*" is an alias in YAML, and there is no anchor of that name → write it in quotes: \'*.js\'',
    ],
    ['a: !web7', '1:4 !web7: text that begins with "!" is a tag in YAML → write it in quotes: \'!web7\''],
    ['a: [x, !web7]', '1:8 !web7: text that begins with "!" is a tag in YAML → write it in quotes: \'!web7\''],
    ['a: !!binary aGk=', '1:4 !!binary: text that begins with "!" is a tag in YAML → write it in quotes: \'!!binary\''],
    ['a: &x', '1:4 &x: text that begins with "&" is an anchor in YAML → write it in quotes: \'&x\''],
    ['a: @x', '1:4 @x: text cannot begin with "@" in YAML → write it in quotes: \'@x\''],
    ['a: %x', '1:4 %x: text cannot begin with "%" in YAML → write it in quotes: \'%x\''],
    ['a: `x`', '1:4 `x`: text cannot begin with "`" in YAML → write it in quotes: \'`x`\''],
    ['a: 1\nkey:value', '2:1 "key:value" is a text, no key and value → write a space after the colon: key: value'],
    ['a:1\nb: 2', '1:1 "a:1" is a text, no key and value → write a space after the colon: a: 1'],
    ['a: {PORT:3000}', '1:5 "PORT:3000" is a text, no key and value → write a space after the colon: PORT: 3000'],
    [
      'a:\n  <<: {b: 1}',
      '2:3 "<<" merges nothing: YAML 1.2 has no merge keys → write the keys out, or use `environments`, which lie over the rest',
    ],
    [
      'a: 1\n---\nb: 2',
      '3:1 a second document begins here → one file holds one document: remove the "---", or put the rest into a file of its own',
    ],
    ['', '1:1 the file is empty → write keys and values: application: my-app'],
    ['# nothing', '1:1 the file is empty → write keys and values: application: my-app'],
    [
      'a: {b: ${{ server.name }}}',
      "1:9 a look-up inside [ ] or { }, or before a colon, has to be quoted → write '${{ … }}' in quotes",
    ],
    [
      'a: [${{ server.name }}]',
      "1:6 a look-up inside [ ] or { }, or before a colon, has to be quoted → write '${{ … }}' in quotes",
    ],
    [
      'a: https://x: y',
      '1:4 a second "key: value" stands in one line, or a line is indented too far → write a text with ": " in quotes; keys of one map begin in the same column',
    ],
    ['a: - b', '1:4 a list cannot begin on the line of its key → put "- …" on the next line, or write [a, b]'],
    ['a:\n- b\n - c', '3:2 "- c" continues the text before it → items of one list begin in the same column'],
    [
      'a: "\\q"',
      "1:5 this is not YAML: invalid escape sequence \\q → write the text in single quotes: there '\\' is itself",
    ],
    ['? [a]\n: b', '1:3 a list or map cannot be a key → write a name and a colon'],
    ['"__proto__": 1', '1:1 __proto__ cannot be a key → remove it'],
  ])('are named: %j', (text, expected) => expect(wrong(text)[0]).toBe(expected))

  it.each([
    [
      'key:value',
      '1:1 keys and values are expected at the top of the manifest → write a space after the colon: key: value',
    ],
    ['- a', '1:1 keys and values are expected at the top of the manifest → for example: application: my-app'],
  ])('at the top are named: %j', (text, expected) => expect(problemsIn(text)).toEqual([expected]))

  it('leave the rest of the file to be checked', () =>
    expect(problems('release: {path: /srv/x, exclude: [*.map, !x], kep: 1}')).toEqual([
      '4:35 *.map: text that begins with "*" is an alias in YAML, and there is no anchor of that name → write it in quotes: \'*.map\'',
      '4:42 !x: text that begins with "!" is a tag in YAML → write it in quotes: \'!x\'',
      '4:47 unknown key "kep" in release → did you mean "keep"? known: path, source, exclude, shared, keep',
    ]))

  it('are told once a line, and nothing is made up after the first', () => {
    expect(wrong('a: {b: ${{ x }}}\nc: d\ne: [f]').map(p => p.split(' ')[0])).toEqual(['1:9'])
    expect(wrong('a: @x\nb: c\nd: %y').map(p => p.split(' ')[0])).toEqual(['1:4', '3:4'])
  })
})

describe('a file that is no manifest', () => {
  it('of more than 1 MiB is refused', () =>
    expect(wrong(`a: ${'x'.repeat(1024 * 1024)}`)).toEqual([
      '1:1 the file is larger than 1 MiB → put the servers into a file of their own',
    ]))
  it.each([
    ['flow', '['.repeat(20_000)],
    ['flow that ends', `a: ${'['.repeat(60)}${']'.repeat(60)}`],
    ['blocks', Array.from({ length: 60 }, (_, i) => `${' '.repeat(i)}a:`).join('\n')],
  ])('nested without end (%s) is refused', (_kind, text) =>
    expect(wrong(text).at(-1)).toMatch(/lists and maps are nested too deeply → no manifest needs 50 levels$/),
  )
  it('of any text never throws', () => {
    const bits = fc.constantFrom(
      'a',
      ': ',
      '- ',
      '\n',
      '  ',
      '{',
      '}',
      '[',
      ']',
      '"',
      "'",
      '*a',
      '&a ',
      '!t ',
      '|',
      '>',
      '#',
      '\t',
      '${{',
      '?',
      '---\n',
      ',',
    )
    fc.assert(
      fc.property(fc.array(bits, { maxLength: 30 }), parts => {
        const { root, problems: found } = readDocument('f.yml', parts.join(''))
        expect(root !== null || found.length > 0).toBe(true)
        for (const p of found) expect(p.source.length + 1).toBeGreaterThanOrEqual(p.column)
      }),
      { numRuns: 500 },
    )
  })
  it('keeps what stands at a path reachable', () => {
    const { root } = readDocument('f.yml', 'a: [{b: c}]')
    expect(root && nodeAt(root, ['a', 0, 'b'])).toMatchObject({ kind: 'text', text: 'c' })
    expect(root && nodeAt(root, ['a', 1, 'b'])).toBeUndefined()
  })
})
