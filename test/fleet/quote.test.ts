import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
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

  for (const shell of shells)
    it(`brings every text through ${shell.name} unchanged`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(nasty, { minLength: 1, maxLength: 6 }), async words => {
          const ran = await runIn(shell, `printf '%s\\0' ${quoteAll(words)}`)
          expect(ran.stdout.split('\0').slice(0, -1)).toEqual(words)
        }),
        { numRuns: 40 },
      )
    })

  for (const shell of shells)
    it(`brings every text through a here-document of ${shell.name} unchanged`, async () => {
      await fc.assert(
        fc.asyncProperty(nasty, async text => {
          const ran = await runIn(shell, `${hereDocument('cat', text)}echo after`)
          expect(ran.stdout).toBe(`${text}${text === '' || text.endsWith('\n') ? '' : '\n'}after\n`)
        }),
        { numRuns: 40 },
      )
    })

  it('refuses a NUL byte, which no shell can hold', () => {
    expect(() => quote('a\0b')).toThrow(/NUL/)
  })
})
