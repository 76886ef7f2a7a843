import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Answer, checkoutNote, decide, whichPull, whyItStays } from '../../src/commands/preview-decision.ts'
import type { Pull } from '../../src/event.ts'

const sha = (digit: string) => digit.repeat(40)
const pullOf = (action: string | null, more: Partial<Pull> = {}): Pull => ({
  number: 7,
  action,
  state: action === 'closed' ? 'closed' : 'open',
  headSha: sha('a'),
  fork: false,
  ...more,
})
const says = (state: 'open' | 'closed', more: object = {}): Answer => ({
  number: 7,
  state,
  headSha: sha('a'),
  fork: false,
  ...more,
})

describe('which pull request is meant', () => {
  it('the event’s, else the input’s, else all: of those events that are about none', () => {
    expect(whichPull({ event: 'pull_request', pull: pullOf('opened') }, null)).toBe(7)
    expect(whichPull({ event: 'pull_request', pull: pullOf('opened') }, 7)).toBe(7)
    expect(whichPull({ event: 'workflow_run', pull: null }, 12)).toBe(12)
    for (const event of ['schedule', 'workflow_dispatch', 'push'])
      expect(whichPull({ event, pull: null }, null)).toBeNull()
  })

  it('is never all by mistake', () => {
    for (const event of ['pull_request', 'pull_request_target', 'issue_comment', 'workflow_run', null])
      expect(() => whichPull({ event, pull: null }, null)).toThrow('nothing says which pull request is meant')
  })

  it('is not two at once', () => {
    expect(() => whichPull({ event: 'issue_comment', pull: pullOf(null) }, 8)).toThrow('the input pull-request is 8')
  })
})

describe('what is done', () => {
  const event = 'pull_request'
  it.each([
    ['opened', says('open'), 'deploy'],
    ['synchronize', says('open'), 'deploy'],
    ['reopened', says('open'), 'deploy'],
    ['labeled', says('open'), 'deploy'],
    ['closed', says('closed'), 'teardown'],
    ['opened', says('closed'), 'skip'],
    ['synchronize', says('closed'), 'skip'],
    ['closed', says('open'), 'skip'],
    ['opened', says('open', { fork: true }), 'skip'],
    ['closed', says('closed', { fork: true }), 'skip'],
    ['opened', { silent: null }, 'deploy'],
    ['closed', { silent: 'no answer' }, 'teardown'],
    ['opened', null, 'deploy'],
  ] as const)('on %s, when GitHub says %o: %s', (action, answer, what) => {
    expect(decide({ event, pull: pullOf(action) }, 7, answer).what).toBe(what)
  })

  it.each([{ silent: null }, { silent: 'no answer' }, null])(
    'nothing is deployed for a pull request that the event itself says is closed, when GitHub says %o',
    answer => {
      const pull = pullOf('labeled', { state: 'closed' })
      expect(decide({ event, pull }, 7, answer)).toMatchObject({
        what: 'skip',
        why: expect.stringContaining('is closed'),
      })
    },
  )

  it('is asked again right before a removal: it stays where it is open by then', () => {
    const closed = { event, pull: pullOf('closed') }
    expect(whyItStays(closed, 7, says('closed'))).toBeNull()
    expect(whyItStays(closed, 7, { silent: null })).toBeNull()
    expect(whyItStays(closed, 7, says('open'))).toContain('is open again, so its preview is not removed')
    const by = { event: 'workflow_dispatch', pull: null }
    expect(whyItStays(by, 7, says('closed'))).toBeNull()
    expect(whyItStays(by, 7, says('open'))).toContain('is open again, so its preview is not removed')
    expect(() => whyItStays(by, 7, { silent: 'no answer' })).toThrow('GitHub does not say')
  })

  it.each(['workflow_dispatch', 'workflow_run', 'issue_comment', 'pull_request_target', 'repository_dispatch'])(
    'on %s GitHub alone says it',
    other => {
      // What the payload says is of another time, and may be of another thing.
      for (const pull of [null, pullOf('closed'), pullOf('created')]) {
        expect(decide({ event: other, pull }, 7, says('open')).what).toBe('deploy')
        expect(decide({ event: other, pull }, 7, says('closed')).what).toBe('teardown')
        expect(decide({ event: other, pull }, 7, says('open', { fork: true })).what).toBe('skip')
        for (const silent of [null, { silent: null }, { silent: 'no answer' }])
          expect(() => decide({ event: other, pull }, 7, silent)).toThrow(
            'GitHub does not say whether pull request 7 is open',
          )
      }
    },
  )

  it('warns when it goes by the event because GitHub does not answer, not when it was not asked', () => {
    const by = (answer: Answer) => decide({ event, pull: pullOf('opened') }, 7, answer)
    expect(by({ silent: 'no answer (ECONNREFUSED)' })).toMatchObject({
      warning: expect.stringMatching(/ECONNREFUSED.*: the event \(opened\) is followed\.$/),
    })
    expect(by(null)).toMatchObject({ warning: expect.stringContaining('there is none') })
    expect(by({ silent: null })).toEqual({ what: 'deploy', headSha: sha('a') })
  })

  it('takes the head that the event is of, and says when there is a newer one', () => {
    const old = decide({ event, pull: pullOf('synchronize') }, 7, says('open', { headSha: sha('b') }))
    expect(old).toMatchObject({ headSha: sha('a'), warning: expect.stringContaining('bbbbbbbbbbbb by now') })
    const other = decide({ event: 'workflow_run', pull: pullOf(null) }, 7, says('open', { headSha: sha('b') }))
    expect(other).toEqual({ what: 'deploy', headSha: sha('b') })
  })

  it('never removes what GitHub says to be open, and never deploys what it says to be closed or a fork’s', () => {
    const answers = fc.record({ state: fc.constantFrom('open' as const, 'closed' as const), fork: fc.boolean() })
    const events = fc.constantFrom('pull_request', 'pull_request_target', 'schedule', 'issue_comment', 'workflow_run')
    const actions = fc.constantFrom('opened', 'closed', 'reopened', 'edited', null)
    fc.assert(
      fc.property(answers, events, actions, fc.string(), (answer, name, action, headSha) => {
        const { what } = decide({ event: name, pull: pullOf(action) }, 7, says(answer.state, { ...answer, headSha }))
        if (answer.fork) expect(what).toBe('skip')
        if (what === 'teardown') expect(answer.state).toBe('closed')
        if (what === 'deploy') expect(answer.state).toBe('open')
      }),
    )
  })
})

describe('the checkout', () => {
  const note = (event: string, checkout: string | null) => checkoutNote({ event, sha: sha('d') }, sha('a'), checkout)
  it('is the head, or there is none: nothing is said', () => {
    for (const event of ['pull_request', 'workflow_dispatch'])
      for (const checkout of [sha('a'), null]) expect(note(event, checkout)).toBeNull()
  })

  it('is GitHub’s trial merge: no more than a word in the log', () => {
    expect(note('pull_request', sha('d'))).toMatchObject({
      level: 'info',
      text: expect.stringContaining('trial merge'),
    })
  })

  it.each([
    ['pull_request', 'e'],
    ['pull_request_target', 'd'],
    ['workflow_run', 'd'],
    ['issue_comment', 'd'],
    ['workflow_dispatch', 'd'],
  ])('on %s is another commit: a warning names both', (event, digit) => {
    expect(note(event, sha(digit))).toEqual({
      level: 'warning',
      text: expect.stringMatching(
        `^The checkout is ${digit.repeat(12)}; what is deployed is called a{12}, .* built from it\\.$`,
      ),
    })
  })
})
