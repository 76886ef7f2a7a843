/** What a person reads after `recover` and `post`, and of servers that nobody could confirm. */
import { describe, expect, it } from 'vitest'
import { annotations } from '../../src/report/annotations.ts'
import { counts } from '../../src/report/outcome-words.ts'
import { outputs } from '../../src/report/outputs.ts'
import { recap } from '../../src/report/recap.ts'
import { replay } from '../../src/report/state.ts'
import { summary } from '../../src/report/summary.ts'
import { begin, endedWith, finish, planOf, putBack, recording, takeOut } from './recorded.ts'
import { commandIn } from './runner.ts'

const visible = (markdown: string) =>
  markdown.replace(/&#(\d+);/g, (_, n) => String.fromCharCode(Number(n))).replace(/<\/?code>/g, '')
const annotated = (...args: Parameters<typeof annotations>) =>
  annotations(...args).map(line => {
    const command = commandIn(line)
    return [command?.name, command?.properties['title'], command?.data]
  })

/** `post` after a cancel: web1 went back, web2 was put back, web3 had not begun, web4 could not be put back. */
function afterCancel(command: 'post' | 'recover') {
  const r = recording()
  r.emit({ type: 'run-started', command, manifest: 'deploy.yml', runUrl: null, subject: 'shop → production' })
  r.emit({ type: 'phase', phase: 'recover' })
  const story = (found: string, done: string | null) => ({ recovery: { found, done }, previous: null })
  r.emit(
    endedWith('web1', {
      outcome: 'rolled-back',
      release: 'old',
      ...story('this run was cut off here at: switched to new', 'switched back to old; put back in rotation at edge'),
    }),
  )
  r.emit(
    endedWith('web2', {
      outcome: 'pending',
      release: 'old',
      ...story('this run was cut off here at: taking it out', 'put back in rotation at edge'),
    }),
  )
  r.emit(endedWith('web3', { outcome: 'pending', rotation: 'none', release: 'old', ...story('not begun here', null) }))
  r.emit(
    endedWith('web4', {
      outcome: 'failed',
      rotation: 'out',
      leftOut: true,
      release: 'new',
      putBack: 'echo ready',
      failure: { stage: 'verifying', message: 'GET http :3000/up answered 500' },
      ...story('this run was cut off here at: activated', 'GET http :3000/up answered 500'),
    }),
  )
  return replay(finish(r, 'failure'))
}

describe('what post and recover tell', () => {
  it('counts nothing as deployed that was not', () => {
    const state = afterCancel('post')
    expect(counts(state)).toBe('1 failed, 1 back on the old release, 2 on the old release')
    expect(outputs(state)).toMatchObject({
      succeeded: '[]',
      pending: '["web2","web3"]',
      'rolled-back': '["web1"]',
      'left-out': '["web4"]',
      retry: '["web1","web2","web3","web4"]',
    })
  })
  it('says in a line per server what was found, what was done and where it stands', () => {
    const text = visible(summary(afterCancel('post')))
    expect(text).toContain('| server | found | done | stands now |')
    expect(text).toMatch(
      /web1 \| this run was cut off here at: switched to new \| switched back to old; put back in rotation at edge \| back on the old release, old, in rotation \|/,
    )
    expect(text).toMatch(/web3 \| not begun here \| nothing \| on the old release, old \|/)
    expect(text).toMatch(/web4 .*\| failed, left out of rotation, new \|/)
  })
  it('names itself in the headline, and what it is of', () => {
    expect(visible(summary(afterCancel('post')))).toMatch(
      /^## ❌ shop → production: what the run left undecided could not/,
    )
    expect(visible(summary(afterCancel('recover')))).toMatch(/^## ❌ shop → production: recovery failed/)
  })
  it('annotates as an error only what a person has to look at; a server that was brought back is a notice, said once', () => {
    expect(annotated(afterCancel('post')).map(([name, title]) => [name, title])).toEqual([
      ['error', 'web4: verifying failed, left out of rotation'],
      ['notice', 'web1: back on the old release'],
      ['notice', 'web2: on the old release'],
    ])
  })
})

describe('a rolled-back server', () => {
  it('is not said to be rolled back twice', () => {
    const r = recording()
    begin(r, planOf(['web1', 'web2']))
    r.emit(endedWith('web1', { outcome: 'rolled-back', failure: { stage: 'verifying', message: 'answered 500' } }))
    r.emit(endedWith('web2', { outcome: 'rolled-back' }))
    const titles = annotated(replay(finish(r, 'failure'))).map(([, title]) => title)
    expect(titles).toEqual(['web1: verifying failed, rolled back', 'web2: rolled back'])
  })
})

describe('the only server that failed before the rollout', () => {
  it('is annotated once', () => {
    const r = recording()
    begin(r, planOf(['web1', 'web2']))
    const message = 'bundle install: exit code 3'
    r.emit(endedWith('web1', { outcome: 'failed', rotation: 'none', failure: { stage: 'preparing', message } }))
    const state = replay(finish(r, 'failure', { message: `prepare failed on web1: ${message}` }))
    expect(annotated(state)).toEqual([['error', 'web1: preparing failed', message]])
  })
})

describe('a server whose second balancer died while it was out', () => {
  const state = () => {
    const r = recording()
    begin(r, planOf(['web1']))
    takeOut(r, 'web1')
    r.emit({ type: 'balancer', server: 'web1', balancer: 'other', what: 'drained', seconds: 1 })
    putBack(r, 'web1')
    r.emit(
      endedWith('web1', {
        outcome: 'failed',
        rotation: 'unknown',
        leftOut: true,
        putBack: 'echo ready',
        failure: { stage: 'draining', message: 'other does not answer' },
      }),
    )
    return replay(finish(r, 'failure'))
  }
  it('is not confirmed, with where it was last seen; neither left out for certain nor still out', () => {
    const all = [
      visible(summary(state())),
      ...annotated(state()).flat(),
      ...recap(state()).map(line => line.text),
    ].join('\n')
    expect(all).toContain('1 server is not confirmed to serve again')
    expect(all).toMatch(/Last seen: edge: serving \(\d\d:\d\d:\d\d UTC\); other: taken out and drained \(/)
    expect(all).toContain('web1: draining failed, not confirmed to serve again')
    expect(all).not.toMatch(/left out of rotation|rotation unknown|still out|should serve and does not/)
  })
  it('is in the output left-out all the same, for someone has to look', () =>
    expect(outputs(state())['left-out']).toBe('["web1"]'))
})
