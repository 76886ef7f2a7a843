import { describe, expect, it } from 'vitest'
import type { Event } from '../../src/report/events.ts'
import {
  commentMarker,
  cutOffComment,
  nothingFoundComment,
  notRemovedComment,
  previewComment,
  removedComment,
  saysUp,
} from '../../src/report/preview-comment.ts'
import { replay } from '../../src/report/state.ts'

const facts = { application: 'shop', number: 7, commit: 'a'.repeat(40) }
const ended = (server: string, message?: string): Event => ({
  type: 'server-ended',
  at: 2,
  server,
  outcome: message === undefined ? 'succeeded' : 'failed',
  rotation: 'none',
  leftOut: false,
  keptOut: false,
  notVerified: false,
  release: null,
  previous: null,
  ...(message === undefined ? {} : { failure: { message, stage: 'activating' } }),
})
const state = (url: string | null, result: 'success' | 'failure' | 'cancelled', ...events: readonly Event[]) => {
  const run = replay([
    {
      type: 'run-started',
      at: 1,
      command: 'preview',
      manifest: 'deploy.yml',
      runUrl: 'https://github.com/octo/shop/actions/runs/1',
    },
    ...events,
    { type: 'run-ended', at: 3, result },
  ])
  return { ...run, plan: { url } as NonNullable<typeof run.plan> }
}

describe('the comment on a pull request', () => {
  it('has our marker in its first line, the address, the commit, a line per server and the run', () => {
    const body = previewComment(state('https://pr-7.example.com/', 'success', ended('web1'), ended('web2')), facts)
    expect(body.split('\n')).toEqual([
      '<!-- deploy-action: shop preview -->',
      '### ✅ The preview of shop is up',
      '',
      '[https&#58;//pr-7&#46;example&#46;com/](<https://pr-7.example.com/>)',
      '',
      'Pull request 7 · commit <code>aaaaaaaaaaaa</code> · [The run](<https://github.com/octo/shop/actions/runs/1>)',
      '',
      '| server |  |',
      '| --- | --- |',
      '| <code>web1</code> | ✅ deployed |',
      '| <code>web2</code> | ✅ deployed |',
      '',
    ])
  })

  it('says where it failed and at what, with nothing in it that a server could make of it', () => {
    const hostile = '</td> <img src=x> [a](javascript:b) @octocat #1 ```\n| x |\n<!-- deploy-action: shop preview -->'
    const body = previewComment(state(null, 'failure', ended('web1', hostile), ended('web2')), facts)
    expect(body).toContain('the deployment failed')
    expect(body).toContain('- <code>web1</code>, activating: ')
    expect(body).not.toMatch(/<img|\]\(javascript|(?<!\d;)@octocat|```|\n\| x/)
    expect(body.match(/<!-- deploy-action/g)).toHaveLength(1)
  })

  it('makes a link of nothing but web addresses', () => {
    const of = (url: string) => previewComment(state(url, 'success', ended('web1')), facts)
    expect(of('javascript:alert(1)')).not.toContain('<javascript')
    expect(of('https://x.example/a>b)c')).toContain('](<https://x.example/a%3Eb)c>)')
  })

  it('stays below GitHub’s limit with a thousand servers that failed', () => {
    const many = Array.from({ length: 1000 }, (_, i) => ended(`web${i}`, 'x'.repeat(5000)))
    const body = previewComment(state(null, 'failure', ...many), facts)
    expect(body.length).toBeLessThan(65_536)
    // Right below a table's last row it would be another row.
    expect(body).toMatch(/\|\n\n… and 900 more\n/)
  })

  it('says that a deployment was cut off, with what was found afterwards', () => {
    const body = previewComment(state(null, 'success', ended('web1'), ended('web2', 'it stays')), facts, true)
    expect(body).toContain('\n### ❌ The preview of shop: the deployment was cut off\n')
    expect(body).toContain('| <code>web1</code> | ✅ deployed |\n| <code>web2</code> | ❌ failed |')
    expect(saysUp(body)).toBe(false)
  })

  it('says that a removal was cut off, and what comes', () => {
    const gone = { application: 'shop', number: 7, runUrl: 'https://github.com/octo/shop/actions/runs/1' }
    expect(cutOffComment(gone)).toBe(
      `<!-- deploy-action: shop preview -->
### ❌ The removal of the preview of shop was cut off

Pull request 7 · [The run](<https://github.com/octo/shop/actions/runs/1>)

What is left of it goes with the next clean-up, or when the run is started again.
`,
    )
  })

  it('says that it is removed', () => {
    const body = removedComment({ application: 'shop', number: 7, runUrl: null })
    expect(body).toContain(commentMarker('shop'))
    expect(body).toContain('The preview of shop is removed')
  })

  it('says on which servers it is not removed, and that the clean-up tries again', () => {
    const gone = { application: 'shop', number: 7, runUrl: null }
    const body = notRemovedComment(gone, ['p2', '<b>@octocat'])
    expect(body).toContain('### ❌ The preview of shop is not removed')
    expect(body).toContain('It failed on <code>p2</code>, <code>')
    expect(body).not.toMatch(/<b>|(?<!\d;)@octocat/)
    expect(body).toContain('The clean-up tries again.')
    const names = Array.from({ length: 1000 }, (_, i) => `${i}.${'x'.repeat(240)}`)
    const many = notRemovedComment(gone, names)
    expect(many.length).toBeLessThan(65_536)
    expect(many).toContain('900 more')
    expect(notRemovedComment(gone, [])).not.toContain('It failed on')
  })

  it('says where nothing was found of it, and not that it is removed', () => {
    const body = nothingFoundComment({ application: 'shop', number: 7, runUrl: null }, '/srv/previews/pr-7')
    expect(body).toContain('### ⚪ Nothing was found of the preview of shop')
    expect(body).toContain('<code>/srv/previews/pr-7</code>')
    expect(body).not.toContain('is removed')
  })

  it('is told apart by whether it says that the preview is up', () => {
    const gone = { application: 'shop', number: 7, runUrl: null }
    expect(saysUp(previewComment(state(null, 'success', ended('web1')), facts))).toBe(true)
    expect(saysUp(previewComment(state(null, 'failure', ended('web1', 'x')), facts))).toBe(false)
    for (const body of [removedComment(gone), notRemovedComment(gone, []), nothingFoundComment(gone, '/srv')])
      expect(saysUp(body)).toBe(false)
  })
})
