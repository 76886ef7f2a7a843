/** The clean-up on a schedule, the limit, and what a removal that does not succeed leaves. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { leasesRunOut } from '../support/leases.ts'
import { listed } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'
import { type PreviewSite, sha, usePreviewSites } from './preview-site.ts'

const site = usePreviewSites()
const pull = (number: number, state: 'open' | 'closed' = 'open') => ({ number, state, headSha: sha('a') })

const deploy = async (at: PreviewSite, ...numbers: readonly number[]) => {
  for (const number of numbers) {
    const result = await at.pull({ action: 'opened', number, headSha: sha('a') })
    expect(result.code, result.log).toBe(0)
  }
}

describe('the clean-up', () => {
  it('removes previews whose pull request is closed, and those alone', { timeout: 600_000 }, async () => {
    const at = await site({ servers: ['p1', 'p2'], github: { pulls: [pull(3), pull(5), pull(8), pull(9)] } })
    await deploy(at, 3, 5, 8)
    // What others have there is nobody's preview.
    const root = join(at.servers[0]?.root ?? '', 'previews')
    mkdirSync(join(root, 'pr-5-backup'))
    mkdirSync(join(root, 'pr-9'))
    writeFileSync(join(root, 'pr-9/precious'), 'x')
    for (const number of [5, 8, 9]) at.github.setPull(pull(number, 'closed'))
    const cleaned = await at.run('schedule')
    expect(cleaned.code, cleaned.log).toBe(0)
    expect(at.there(0)).toEqual(['pr-3', 'pr-5-backup', 'pr-9'])
    expect(at.there(1)).toEqual(['pr-3'])
    expect(cleaned.log).toContain('Preview 5 is removed')
    expect(cleaned.log).toContain('previews 3 stay')
    expect(listed(cleaned, 'succeeded')).toEqual(['p1', 'p2'])
    expect(at.heldLocks()).toEqual([])
    const states = Object.fromEntries(at.github.deployments().map(d => [d.environment, d.state]))
    expect(states).toEqual({ 'preview/pr-3': 'success', 'preview/pr-5': 'inactive', 'preview/pr-8': 'inactive' })
    expect(at.github.comments(5)[0]?.body).toContain('is removed')
    expect(at.github.comments(3)[0]?.body).toContain('is up')
    expect((await at.run('schedule')).code).toBe(0)
  })

  it('leaves those of which GitHub says nothing, with a warning', { timeout: 400_000 }, async () => {
    const at = await site({ github: { pulls: [pull(3), pull(5)] } })
    await deploy(at, 3, 5)
    at.github.setPull(pull(3, 'closed'))
    at.github.answer('GET /repos/{owner}/{repo}/pulls/{pull_number}', { fault: 'status', status: 404 }, 2)
    const cleaned = await at.run('schedule')
    expect(cleaned.code, cleaned.log).toBe(0)
    expect(cleaned.log).toMatch(/so previews 3, 5 stay \(there is no such pull request/)
    expect(at.there()).toEqual(['pr-3', 'pr-5'])
    const none = await at.run('schedule', { 'github-token': '' })
    expect(none.code).toBe(1)
    expect(none.log).toContain('GitHub cannot be asked')
    expect(at.there()).toEqual(['pr-3', 'pr-5'])
  })

  it('leaves another repository’s', { timeout: 300_000 }, async () => {
    const at = await site({ github: { pulls: [pull(3, 'closed')] } })
    const state = join(at.servers[0]?.root ?? '', 'previews/pr-3/.deploy-action')
    mkdirSync(state, { recursive: true })
    writeFileSync(join(state, 'preview'), '{"application":"shop","number":3,"repository":"octo/other"}\n')
    const cleaned = await at.run('schedule')
    expect(cleaned.code, cleaned.log).toBe(0)
    expect(cleaned.log).toContain('Previews of octo/other stay')
    expect(at.there()).toEqual(['pr-3'])
  })

  it('goes on with the others when one fails, keeps that whole, and tries again', { timeout: 600_000 }, async () => {
    const at = await site({ github: { pulls: [pull(3), pull(5)] } })
    at.manifest({ teardown: 'test "$DEPLOY_PULL_REQUEST" = 5 || test -e "$HOME/mended"' })
    await deploy(at, 3, 5)
    for (const number of [3, 5]) at.github.setPull(pull(number, 'closed'))
    const failed = await at.run('schedule')
    expect(failed.code).toBe(1)
    expect(failed.outputs['result']).toBe('failure')
    expect(failed.log).toContain('Preview 3 is not removed from p1')
    expect(failed.log).toContain('Preview 5 is removed')
    expect(at.there()).toEqual(['pr-3'])
    expect(existsSync(join(at.servers[0]?.root ?? '', 'previews/pr-3/current/index.html'))).toBe(true)
    expect(at.github.deployments().map(d => [d.environment, d.state])).toEqual([
      ['preview/pr-3', 'success'],
      ['preview/pr-5', 'inactive'],
    ])
    writeFileSync(join(at.servers[0]?.sshd.home ?? '', 'mended'), '')
    expect((await at.run('schedule')).code).toBe(0)
    expect(at.there()).toEqual([])
  })
})

describe('the limit', () => {
  it('refuses one more with the others’ numbers, leaves nothing of it, and updates those that are there', {
    timeout: 600_000,
  }, async () => {
    const at = await site({ servers: ['p1', 'p2'], github: { pulls: [pull(3), pull(5), pull(8)] } })
    at.manifest({ limit: 2 })
    await deploy(at, 3, 5)
    const before = at.said(0).length
    const refused = await at.pull({ action: 'opened', number: 8, headSha: sha('a') })
    expect(refused.code).toBe(1)
    expect(refused.log).toMatch(
      /2 previews of shop already, and 2 may be \(previews\.limit\): those of the pull requests [35], [35]/,
    )
    expect([at.there(0), at.there(1)]).toEqual([
      ['pr-3', 'pr-5'],
      ['pr-3', 'pr-5'],
    ])
    expect(at.said(0)).toHaveLength(before)
    expect(at.github.deployments().at(-1)).toMatchObject({ environment: 'preview/pr-8', state: 'failure' })
    expect(at.github.comments(8)[0]?.body).toContain('2 may be (previews&#46;limit)')
    await deploy(at, 3)
  })

  it('holds on each server, and what is refused on one leaves nothing on the other', { timeout: 400_000 }, async () => {
    const at = await site({ servers: ['p1', 'p2'], github: { pulls: [pull(3), pull(8)] } })
    at.manifest({ limit: 1 })
    const state = join(at.servers[1]?.root ?? '', 'previews/pr-3/.deploy-action')
    mkdirSync(state, { recursive: true })
    writeFileSync(join(state, 'preview'), '{"application":"shop","number":3,"repository":"octo/shop"}\n')
    const refused = await at.pull({ action: 'opened', number: 8, headSha: sha('a') })
    expect(refused.code).toBe(1)
    expect([at.there(0), at.there(1)]).toEqual([[], ['pr-3']])
  })

  it('of two that come at once lets no more in than it says', { timeout: 400_000 }, async () => {
    const at = await site({ github: { pulls: [pull(3), pull(5)] } })
    at.manifest({ limit: 1 })
    const both = await Promise.all([3, 5].map(number => at.pull({ action: 'opened', number, headSha: sha('a') })))
    expect(both.filter(r => r.code === 0).length).toBeLessThanOrEqual(1)
    expect(at.there().length).toBe(both.filter(r => r.code === 0).length)
  })
})

describe('a removal that is cut off', () => {
  const cutOff = async (at: PreviewSite, end: (running: ReturnType<PreviewSite['start']>) => Promise<unknown>) => {
    at.manifest({ teardown: 'echo begun >>"$HOME/said"; sleep 30' })
    await deploy(at, 7)
    at.github.setPull(pull(7, 'closed'))
    const running = at.start('workflow_dispatch', '{}', { 'pull-request': '7' })
    await waitUntil('teardown runs', () => at.said().includes('begun'))
    await end(running)
    at.manifest()
  }

  const saysCutOff = (at: PreviewSite) => {
    const [comment, ...more] = at.github.comments(7)
    expect(more).toEqual([])
    expect(comment?.body).toContain('### ❌ The removal of the preview of shop was cut off')
    expect(comment?.body).toContain('https://github.com/octo/shop/actions/runs/4711')
    expect(at.github.deployments().map(d => d.state)).toEqual(['success'])
  }

  it('by a cancel gives its lock back, says so, and is done by the next', { timeout: 400_000 }, async () => {
    const at = await site({ github: { pulls: [pull(7)] } })
    let log = ''
    await cutOff(at, async running => {
      const result = await running.cancel()
      log = result.log
      expect(result.outputs['result']).toBe('cancelled')
    })
    expect(log).toContain('The removal of preview 7 was cut off')
    saysCutOff(at)
    expect(at.heldLocks()).toEqual([])
    expect(at.there()).toEqual(['pr-7'])
    expect((await at.run('schedule')).code).toBe(0)
    expect(at.there()).toEqual([])
    expect(at.github.comments(7)[0]?.body).toContain('is removed')
  })

  it('by a kill has its lock given back by post, which removes nothing, and says so in the comment', {
    timeout: 400_000,
  }, async () => {
    const at = await site({ github: { pulls: [pull(7)] } })
    await cutOff(at, async running => {
      running.kill('SIGKILL')
      const result = await running.ended
      expect(result.post?.log).toContain('The removal of preview 7 was cut off')
    })
    saysCutOff(at)
    expect(at.heldLocks()).toEqual([])
    expect(at.there()).toEqual(['pr-7'])
    const next = await at.run('schedule')
    expect(next.code, next.log).toBe(0)
    expect(at.there()).toEqual([])
  })
})

describe('a first deployment that is cut off', () => {
  it('before it began leaves nothing, also where it waited for another', { timeout: 400_000 }, async () => {
    const at = await site({ servers: ['p1', 'p2'], github: { pulls: [pull(7)] } })
    at.manifest({}, { rollout: { lock_wait: '5m' } })
    const state = join(at.servers[1]?.root ?? '', 'previews/pr-7/.deploy-action')
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    const now = () => Math.floor(Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]))
    let until = now() + 50
    const lock = () => join(state, `lock/held.1.token-of-another.${boot}.${until}`)
    mkdirSync(lock(), { recursive: true })
    /** As its owner does, for as long as this run takes to come. */
    const renew = () => {
      if (until - now() > 40) return
      const before = lock()
      until = now() + 50
      renameSync(before, lock())
    }
    writeFileSync(join(state, 'preview'), '{"application":"shop","number":7,"repository":"octo/shop"}\n')
    const running = at.start('workflow_dispatch', '{}', { 'pull-request': '7' })
    await waitUntil('it waits for the other', () => {
      renew()
      return running.stdout().includes('waiting for the lock')
    })
    expect(at.there(0)).toEqual(['pr-7'])
    const result = await running.cancel()
    expect(result.outputs['result'], result.log).toBe('cancelled')
    expect([at.there(0), at.there(1)]).toEqual([[], ['pr-7']])
    expect(at.heldLocks()).toHaveLength(1)
  })

  it('is brought to an end by post, and goes with its pull request', { timeout: 400_000 }, async () => {
    const at = await site({ github: { pulls: [pull(7)] } })
    at.manifest({ activate: 'echo begun >>"$HOME/said"; sleep 30' })
    const running = at.start('workflow_dispatch', '{}', { 'pull-request': '7' })
    await waitUntil('activate runs', () => at.said().includes('begun'))
    running.kill('SIGKILL')
    const { post } = await running.ended
    expect(post?.log).toContain('this run was cut off here')
    const [comment, ...more] = at.github.comments(7)
    expect(more).toEqual([])
    for (const text of [
      '### ❌ The preview of shop: the deployment was cut off',
      'commit <code>aaaaaaaaaaaa</code>',
      'https://github.com/octo/shop/actions/runs/4711',
      '<code>p1</code>',
    ])
      expect(comment?.body).toContain(text)
    expect(at.heldLocks()).toEqual([])
    expect(at.github.deployments().map(d => d.state)).toEqual(['failure'])
    at.github.setPull(pull(7, 'closed'))
    expect((await at.run('schedule')).code).toBe(0)
    expect(at.there()).toEqual([])
    expect(at.github.deployments().map(d => d.state)).toEqual(['inactive'])
  })

  it('when nothing was missing but the comment, has it from post', { timeout: 400_000 }, async () => {
    const at = await site({ github: { pulls: [pull(7)] } })
    at.github.answer('GET /repos/{owner}/{repo}/issues/{issue_number}/comments', { fault: 'slow', ms: 600_000 })
    const running = at.start('workflow_dispatch', '{}', { 'pull-request': '7' })
    const { github } = at
    await waitUntil('all is said but the comment', () => github.deployments()[0]?.state === 'success')
    // It is asked whose the token is, and then for the comments: the one question that has no answer.
    await waitUntil(
      'the comments are asked for',
      () => github.requests('GET /user').length > 0 && github.asked() === github.requests().length + 1,
    )
    running.kill('SIGKILL')
    const { post } = await running.ended
    expect(post?.commands.filter(c => c.name === 'warning')).toEqual([])
    expect(at.github.comments(7).map(c => c.body.split('\n')[1])).toEqual(['### ✅ The preview of shop is up'])
    expect(at.github.deployments().map(d => d.state)).toEqual(['success'])
  })

  it('goes with its pull request, however far it came', { timeout: 400_000 }, async () => {
    const at = await site({ github: { pulls: [pull(7)] } })
    at.manifest({ activate: 'echo begun >>"$HOME/said"; sleep 30' })
    const running = at.start('workflow_dispatch', '{}', { 'pull-request': '7' }, { post: false })
    await waitUntil('activate runs', () => at.said().includes('begun'))
    running.kill('SIGKILL')
    await running.ended
    at.github.setPull(pull(7, 'closed'))
    at.manifest()
    await leasesRunOut({ servers: [{ root: join(at.servers[0]?.root ?? '', 'previews/pr-7') }] })
    const closed = await at.run('schedule')
    expect(closed.code, closed.log).toBe(0)
    expect(at.there()).toEqual([])
  })
})
