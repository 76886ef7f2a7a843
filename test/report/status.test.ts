import { describe, expect, it } from 'vitest'
import { type ServerStatus, statusMarkdown, statusText } from '../../src/report/status.ts'

const row: ServerStatus = {
  putBack: null,
  waits: [],
  journal: [],
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

const cutOff = {
  at: 'switched',
  words: 'switched to abc-1',
  since: '2026-01-02T00:00:00.000Z',
  run: 'https://example.com/runs/1',
  underWay: false,
}

describe('the status of servers', () => {
  it('does not call a deployment that is under way something left behind', () => {
    const busy = [{ ...row, undecided: { ...cutOff, underWay: true } }]
    expect(statusText(busy)).toMatch(/under way: switched to abc-1/)
    expect(statusMarkdown(busy)).not.toMatch(/left behind\*|recover/)
  })
  it('says of a left-out server what puts it back, and by hand', () => {
    const out = [{ ...row, leftOut: ['edge'], putBack: 'echo "set server app/web1 state ready"' }]
    expect(statusText(out)).toContain(
      'recover puts it back once it verifies\nput web1 back by hand: echo "set server app/web1 state ready"',
    )
    expect(statusMarkdown(out)).toMatch(/back by hand with:\n\n<pre>echo/)
  })
  it('says that nothing was deployed yet', () =>
    expect(statusText([{ ...row, release: null, since: null, by: null }])).toMatch(/web1 +nothing deployed yet +- +- /))
  it('prints the journal of the last deployment; of many servers only where something is behind', () => {
    const journal = [{ at: '2026-01-02T00:00:00.000Z', text: 'taking it out of rotation at edge\n::error::x' }]
    expect(statusText([{ ...row, journal }])).toMatch(
      /on web1, by its journal:\n {2}2026-01-02 00:00:00 UTC {2}taking it out of rotation at edge/,
    )
    expect(statusText([{ ...row, journal }])).not.toMatch(/^\s*::/m)
    const many = Array.from({ length: 11 }, (_, i) => ({ ...row, server: `web${i}`, journal }))
    expect(statusText(many)).not.toContain('journal')
    expect(
      statusMarkdown([...many, { ...row, server: 'db', journal, undecided: cutOff }]).match(/<details>/g),
    ).toHaveLength(1)
  })
  it('is a table with a row for each', () =>
    expect(
      statusText([row, { ...row, server: 'web22', lock: { by: 'hubot', since: null, run: null, secondsLeft: 41 } }]),
    ).toBe(
      [
        'server  release  since                    by       rotation       lock                      left behind',
        'web1    abc-1    2026-01-01 00:00:00 UTC  octocat  edge: serving  free                      -',
        'web22   abc-1    2026-01-01 00:00:00 UTC  octocat  edge: serving  held by hubot, 41 s left  -',
      ].join('\n'),
    ))
  it('names what was left behind, and what brings it to an end', () => {
    const left = [
      { ...row, undecided: cutOff },
      { ...row, leftOut: ['edge'] },
    ]
    expect(statusText(left)).toMatch(
      /undecided: switched to abc-1, since 2026-01-02 00:00:00 UTC, https:.*runs.1\n.*left out of edge/s,
    )
    expect(statusMarkdown(left)).toMatch(/2 servers with something left behind.*recover/s)
    expect(statusMarkdown([row])).not.toContain('recover')
  })
  it('lets nothing that a server says become a command or Markdown', () => {
    const evil = [{ ...row, release: '##[error]x\n::set-output name=a::b', by: '<img src=x>|`' }]
    expect(statusText(evil)).not.toMatch(/##\[error|^\s*::/m)
    expect(statusMarkdown(evil)).not.toContain('<img')
  })
})
