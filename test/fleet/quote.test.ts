import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InputError } from '../../src/errors.ts'
import { hereDocument, quote, quoteAll } from '../../src/fleet/quote.ts'
import { runIn, shells } from './shells.ts'

/** Text of the characters that shells make something of. */
const nasty = fc.string({
  unit: fc.constantFrom(...`'"\\$\`!*?[]{}()<>|&;#~=%^ \t\n\r-aA0é漢💾`, 'END_OF_TEXT_0', '\nEND_OF_TEXT_0\n'),
  maxLength: 40,
})

describe('quoting', () => {
  it('runs under at least dash and bash here', () => {
    expect(shells.map(s => s.name)).toEqual(expect.arrayContaining(['dash', 'bash']))
  })

  // Many texts in each of few processes: it is starting one that takes its time on a busy machine.
  const texts = fc.array(nasty, { minLength: 30, maxLength: 60 })
  const processes = { numRuns: 4 }

  for (const shell of shells)
    it(`brings every text through ${shell.name} unchanged`, () =>
      fc.assert(
        fc.asyncProperty(texts, async words => {
          const ran = await runIn(shell, `printf '%s\\0' ${quoteAll(words)}`)
          expect(ran.stdout.split('\0').slice(0, -1)).toEqual(words)
        }),
        processes,
      ))

  for (const shell of shells)
    it(`brings every text through a here-document of ${shell.name} unchanged`, () =>
      fc.assert(
        fc.asyncProperty(texts, async all => {
          const ran = await runIn(shell, all.map(text => `${hereDocument('cat', text)}printf '\\0'\n`).join(''))
          expect(ran.stdout.split('\0').slice(0, -1)).toEqual(
            all.map(text => (text === '' || text.endsWith('\n') ? text : `${text}\n`)),
          )
        }),
        processes,
      ))

  it.each(shells)(
    'loses nothing where a line begins as the end mark does, in a here-document of $name',
    async shell => {
      const marks = ['E', 'END', 'END_OF_TEXT_0', 'END_OF_TEXT_1', 'N', 'ND_OF_TEXT_0']
      for (const text of [...marks.map(mark => `${mark}漢\né\n${mark}\n`), marks.map(mark => `${mark}é\n`).join('')])
        expect((await runIn(shell, hereDocument('cat', text))).stdout).toBe(text)
    },
  )

  it('refuses a text that no end mark fits, rather than to change it', () => {
    const every = Array.from({ length: 95 }, (_, i) => `${String.fromCharCode(32 + i)}é`).join('\n')
    expect(() => hereDocument('cat', every)).toThrow(InputError)
  })

  it('refuses a NUL byte, which no shell can hold', () => {
    expect(() => quote('a\0b')).toThrow(/NUL/)
  })
})
