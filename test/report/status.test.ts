import { describe, expect, it } from 'vitest'
import { type ServerStatus, statusMarkdown, statusText } from '../../src/report/status.ts'

const row: ServerStatus = {
  server: 'web1',
  host: 'web1.example.com',
  release: 'abc-1',
  commit: null,
  since: '2026-01-01T00:00:00.000Z',
  by: 'octocat',
  run: null,
  rotation: { edge: 'serving' },
  lock: null,
  undecided: null,
  leftOut: [],
  error: null,
}

describe('the status of servers', () => {
  it('is a table with a row for each', () =>
    expect(
      statusText([row, { ...row, server: 'web22', lock: { by: 'hubot', since: null, run: null, secondsLeft: 41 } }]),
    ).toBe(
      [
        'server  release  since                     by       rotation       lock                 left behind',
        'web1    abc-1    2026-01-01T00:00:00.000Z  octocat  edge: serving  free                 -',
        'web22   abc-1    2026-01-01T00:00:00.000Z  octocat  edge: serving  held by hubot, 41 s  -',
      ].join('\n'),
    ))
  it('names what was left behind, and what brings it to an end', () => {
    const left = [
      { ...row, undecided: { at: 'switched', since: '', run: null } },
      { ...row, leftOut: ['edge'] },
    ]
    expect(statusText(left)).toMatch(/undecided: switched\n.*left out of edge/s)
    expect(statusMarkdown(left)).toMatch(/2 servers with something left behind.*recover/)
    expect(statusMarkdown([row])).not.toContain('recover')
  })
  it('lets nothing that a server says become a command or Markdown', () => {
    const evil = [{ ...row, release: '##[error]x\n::set-output name=a::b', by: '<img src=x>|`' }]
    expect(statusText(evil)).not.toMatch(/##\[error|^\s*::/m)
    expect(statusMarkdown(evil)).not.toContain('<img')
  })
})
