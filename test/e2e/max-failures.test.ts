import { describe, expect, it } from 'vitest'
import { balancerWith } from '../support/site.ts'
import { listed, outcome, useSites } from '../support/use-site.ts'

const site = useSites()
const limit = { timeout: 240_000 }

describe('max_failures', () => {
  it('lets the others go on until so many have failed, in the rollout', limit, async () => {
    const at = await site({ servers: 4 })
    at.manifest({ rollout: { max_failures: 2 } })
    at.change({ version: '2', behaviour: 'web1:activate-fails web3:activate-fails' })
    const result = await at.deploy()
    expect(result.code).toBe(1)
    expect(outcome(result)).toEqual({ succeeded: ['web2'], failed: ['web1', 'web3'], pending: ['web4'] })
    expect(listed(result, 'left-out')).toEqual(['web1', 'web3'])
  })

  it('of 100% goes on to the end, and takes no server out that min_in_service needs', limit, async () => {
    const at = await site({ servers: 4 })
    at.manifest({ ...balancerWith(at, {}), rollout: { max_failures: '100%', min_in_service: 2 } })
    at.change({ version: '2', behaviour: 'activate-fails' })
    const result = await at.deploy()
    expect(result.code).toBe(1)
    expect(listed(result, 'left-out')).toEqual(['web1', 'web2'])
    expect(result.log).toMatch(/min_in_service/)
    expect([await at.rotation('web3'), await at.rotation('web4')]).toEqual(['serving', 'serving'])
  })

  it('counts servers that cannot be prepared; the rest is deployed, and every error is told', limit, async () => {
    const at = await site({ servers: 4 })
    const before = at.current('web2')
    at.manifest({
      rollout: { max_failures: 3 },
      prepare: 'case $DEPLOY_SERVER in web2 | web4) echo "no room on $DEPLOY_SERVER" >&2; exit 3 ;; esac',
    })
    at.change({ version: '2' })
    const result = await at.deploy()
    expect(outcome(result)).toEqual({ succeeded: ['web1', 'web3'], failed: ['web2', 'web4'] })
    expect([at.current('web2'), at.releases('web2')]).toEqual([before, [before]])
    for (const name of ['web2', 'web4']) expect(result.summary).toContain(`no room on ${name}`)
  })

  it('reached while preparing leaves nothing half staged anywhere', limit, async () => {
    const at = await site({ servers: 3 })
    const before = at.current('web1')
    at.manifest({ prepare: 'test "$DEPLOY_SERVER" != web2' })
    at.change({ version: '2' })
    expect(outcome(await at.deploy())).toEqual({ failed: ['web2'], pending: ['web1', 'web3'] })
    expect(at.servers.map(s => at.releases(s.name))).toEqual([[before], [before], [before]])
  })
})

describe('unreachable: skip', () => {
  it('deploys to the others, names who was skipped, and gives it to retry', limit, async () => {
    const at = await site({ servers: 3 })
    at.manifest({
      rollout: { unreachable: 'skip' },
      ssh: { user: at.balancerHost.user, known_hosts: '.github/known_hosts', connect_timeout: '2s' },
    })
    at.change({ version: '2' })
    await at.server('web2').sshd.stop()
    const result = await at.deploy()
    expect(result.code, result.log).toBe(0)
    expect(outcome(result)).toEqual({ succeeded: ['web1', 'web3'], unreachable: ['web2'] })
    expect(listed(result, 'retry')).toEqual(['web2'])
    expect(
      result.commands
        .filter(c => c.name === 'warning')
        .map(c => c.data)
        .join(),
    ).toMatch(/web2 cannot be reached/)
  })

  it('never skips a server that refuses the key or shows another one', limit, async () => {
    const at = await site({ servers: 2 })
    const before = at.current('web1')
    at.manifest({
      rollout: { unreachable: 'skip' },
      ssh: { user: 'somebody-else', known_hosts: '.github/known_hosts' },
    })
    at.change({ version: '2' })
    const refused = await at.deploy()
    expect([refused.code, outcome(refused)]).toEqual([1, { failed: ['web1', 'web2'] }])
    expect(at.current('web1')).toBe(before)
  })
})
