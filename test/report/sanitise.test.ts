import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { block, code, details, table } from '../../src/report/markdown.ts'
import { forHtml, forLog, forMarkdown, forTerminal, linesForLog } from '../../src/report/sanitise.ts'
import { hostileLines, hostileText } from './hostile.ts'
import { commandIn, commandsIn } from './runner.ts'

const forbidden = /[\p{Cf}\p{Zl}\p{Zp}\x00-\x08\x0a-\x1f\x7f-\x9f]/u

describe('the model of the runner', () => {
  it('sees the commands that the runner sees', () => {
    expect(commandIn('  ::error title=a%2Cb::c%0Ad')).toEqual({
      name: 'error',
      properties: { title: 'a,b' },
      data: 'c\nd',
    })
    expect(commandIn('x ##[set-output name=a]b')).toMatchObject({
      name: 'set-output',
      properties: { name: 'a' },
      data: 'b',
    })
    expect(commandIn('x ::error::y')).toBeNull()
    expect(hostileLines.filter(line => commandsIn(line).length > 0).length).toBeGreaterThan(5)
  })
})

describe('a line for the log', () => {
  it('is never a workflow command, whatever a server prints', () => {
    fc.assert(
      fc.property(hostileText, text => {
        expect(commandsIn(forLog(text))).toEqual([])
      }),
      { numRuns: 1000 },
    )
    for (const line of hostileLines) expect(commandsIn(forLog(line)), line).toEqual([])
  })

  it('is never a workflow command behind a prefix either', () => {
    fc.assert(
      fc.property(hostileText, fc.constantFrom('  ', '[web1] ', '  │ ', '#', '##', ':'), (text, prefix) => {
        expect(commandsIn(forLog(prefix + text))).toEqual([])
      }),
    )
  })

  it('holds no control character but tab, nothing invisible and nothing that turns the direction of text', () => {
    fc.assert(
      fc.property(hostileText, text => {
        expect(forLog(text).replaceAll('\t', '')).not.toMatch(forbidden)
        expect(forTerminal(text).replaceAll('\t', '')).not.toMatch(forbidden)
        expect(forLog(text).isWellFormed()).toBe(true)
      }),
    )
  })

  it('is at most 8,192 characters long and says when it was cut', () => {
    fc.assert(
      fc.property(hostileText, text => {
        expect(forLog(text).length).toBeLessThanOrEqual(8192)
      }),
    )
    expect(forLog('x'.repeat(10_000))).toMatch(/ … \(cut: the line has 10000 characters\)$/)
    expect(forLog('x'.repeat(8192))).toBe('x'.repeat(8192))
  })

  it('does not change when it is sanitised twice', () => {
    fc.assert(
      fc.property(hostileText, text => {
        expect(forLog(forLog(text))).toBe(forLog(text))
        expect(forTerminal(forTerminal(text))).toBe(forTerminal(text))
      }),
      { numRuns: 1000 },
    )
  })

  it('leaves ordinary text as it is', () => {
    for (const line of [
      '',
      'Bundle complete! 12 gems',
      'a::b',
      'C:\\x',
      '## heading',
      '\tindented',
      'größe 日本語 ✔️ 😀',
    ])
      expect(forLog(line)).toBe(line)
  })

  it('shows what is hidden', () => {
    expect(forLog('user\u202egnp')).toBe('user\\u{202e}gnp')
    expect(forLog('a\x00b\x07')).toBe('a\\u{0}b\\u{7}')
  })

  it('takes colours, titles and links of a terminal away and keeps their text', () => {
    expect(forLog('\x1b[1;31mred\x1b[0m \x1b]0;title\x07plain \x9b32mgreen')).toBe('red plain green')
    expect(forLog('\x1b]8;;http://example.com\x1b\\link\x1b]8;;\x1b\\')).toBe('link')
    expect(forLog('\x1b]0;never ended, and all of this is still shown')).toContain('all of this is still shown')
  })

  it('keeps the last state of a progress bar', () => {
    expect(forLog('10%\r50%\r100%\r')).toBe('100%')
    expect(forLog('done\r\n')).toBe('done')
  })

  it('takes time in proportion to its length', () => {
    for (const piece of ['\x1b]', '\x1b[0', '\x9d', '##[', '\x1b ', ' ', '\r']) {
      const text = piece.repeat(300_000)
      expect(forLog(text).length).toBeLessThanOrEqual(8192)
    }
  })
})

describe('several lines', () => {
  it('are each safe', () => {
    fc.assert(
      fc.property(fc.array(hostileText), texts => {
        expect(commandsIn(linesForLog(texts.join('\n')))).toEqual([])
      }),
    )
    expect(linesForLog('a\r\n::error::b\n')).toBe('a\n\\::error::b\n')
  })
})

describe('text for Markdown', () => {
  const ours = /<br>|<!-- -->|&#\d+;/g

  it('starts no Markdown and no HTML', () => {
    fc.assert(
      fc.property(hostileText, text => {
        const rest = forMarkdown(text).replace(ours, '')
        expect(rest).not.toMatch(/[!"#$&'*+<=>@[\\\]^_`{|}~\n]/)
        expect(rest.replaceAll('\t', '')).not.toMatch(forbidden)
        expect(rest).not.toMatch(/:\/\/|www\.\w|^[-+]|^\d+[.)]/)
      }),
      { numRuns: 1000 },
    )
  })

  it('cannot leave its table cell or its code', () => {
    fc.assert(
      fc.property(hostileText, text => {
        const rows = table(['a', 'b'], [[forMarkdown(text), code(text)]]).split('\n')
        expect(rows).toHaveLength(3)
        expect(rows[2]?.match(/\|/g)).toHaveLength(3)
      }),
    )
  })

  it('calls nobody and links nothing', () => {
    expect(forMarkdown('@octocat')).toBe('&#64;<!-- -->&#8203;octocat')
    expect(forMarkdown('fixes #12')).toBe('fixes &#35;&#8203;12')
    expect(forMarkdown('deploy@example.com')).toBe('deploy&#64;<!-- -->example&#46;com')
    expect(forMarkdown('https://example.com')).toBe('https&#58;//example&#46;com')
  })
})

describe('text for HTML', () => {
  it('holds no tag, no reference and no quote of its own', () => {
    fc.assert(
      fc.property(hostileText, text => {
        expect(forHtml(text).replace(/&#\d+;/g, '')).not.toMatch(/[&<>"'`]/)
      }),
    )
  })

  it('cannot end the block it stands in', () => {
    fc.assert(
      fc.property(hostileText, text => {
        const markdown = details(text, block(text))
        expect(markdown.match(/<\/?(pre|details|summary)>/g)).toEqual([
          '<details>',
          '<summary>',
          '</summary>',
          '<pre>',
          '</pre>',
          '</details>',
        ])
        expect(markdown.match(/<[a-z/!]/gi)).toHaveLength(6)
      }),
    )
  })

  it('keeps its lines', () => {
    expect(forHtml('a <b>\r\nc & d')).toBe('a &#60;b&#62;\nc &#38; d')
  })
})
