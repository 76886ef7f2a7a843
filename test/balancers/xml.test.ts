import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { childOf, itemsOf, neededAt, parseXml, textAt, wholeAt } from '../../src/balancers/xml.ts'

describe('an answer in XML', () => {
  it('is read with its lists, texts and entities', () => {
    const root = parseXml(`<?xml version="1.0"?>
      <R xmlns="http://x/doc/2015-12-01/"><List><member><Id>i-1</Id><Port>80</Port></member><member><Id>a&amp;b&#x3c;&#62;</Id></member></List><Empty/></R>`)
    expect(itemsOf(root, 'List').map(m => [textAt(m, 'Id'), wholeAt(m, 'Port')])).toEqual([
      ['i-1', 80],
      ['a&b<>', undefined],
    ])
    expect(itemsOf(root, 'Empty')).toEqual([])
    expect(textAt(root, 'Nothing', 'There')).toBeUndefined()
  })

  it.each([
    ['', /too soon/],
    ['<a>', /too soon/],
    ['<a></b>', /unexpected <\/b>/],
    ['<a/><b/>', /second root/],
    ['x<a/>', /outside/],
    ['<a>x<b/></a>', /beside/],
    ['<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', /unknown markup/],
    ['<a><!-- x --></a>', /unknown markup/],
    ['<a><![CDATA[x]]></a>', /unknown markup/],
    ['<a>&x;</a>', /the entity &x;/],
    ['<a>&</a>', /the entity &/],
    ['<a>&amp</a>', /the entity &amp/],
    ['<a>&#x110000;</a>', /the entity/],
    ['<a x=1/>', /unknown markup/],
    ['{"a": 1}', /outside/],
    ['<a>'.repeat(50), /too many levels/],
  ])('that is not of that simple form is an error: %s', (text, why) => {
    expect(() => parseXml(text)).toThrow(SyntaxError)
    expect(() => parseXml(text)).toThrow(why)
  })

  it('whose parts are missing, doubled or of another kind is an error', () => {
    const root = parseXml('<a><b>1</b><b>2</b><c><d/></c><l><x/></l><n>-1</n></a>')
    expect(() => childOf(root, 'b')).toThrow('several b')
    expect(() => textAt(root, 'c')).toThrow('holds elements')
    expect(() => neededAt(root, 'e')).toThrow('no e')
    expect(() => itemsOf(root, 'none')).toThrow('no none')
    expect(() => itemsOf(root, 'l')).toThrow('x in the list')
    expect(() => wholeAt(root, 'n')).toThrow('whole number')
  })

  it('gives every text back as it was', () => {
    const escaped = (text: string) => text.replace(/[<>&]/g, c => `&#${c.charCodeAt(0)};`)
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), text => {
        expect(textAt(parseXml(`<a><b>${escaped(text)}</b></a>`), 'b')).toBe(text)
      }),
    )
  })

  it('never takes long, whatever it is', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('<a', ' x="', '"', '>', '</a>', '&', '/', '=', ' ', 'y'), { maxLength: 3000 }),
        parts => {
          const begin = performance.now()
          try {
            parseXml(parts.join(''))
          } catch (error) {
            expect(error).toBeInstanceOf(SyntaxError)
          }
          // Hopeless, not slow: a pattern that runs wild would take minutes.
          expect(performance.now() - begin).toBeLessThan(5000)
        },
      ),
    )
  })
})
