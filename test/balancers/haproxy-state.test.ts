import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Rotation } from '../../src/balancers/balancer.ts'
import { rotationOf } from '../../src/balancers/haproxy-members.ts'
import { restoring } from '../../src/balancers/haproxy-receipt.ts'
import { type HaproxyServer, parseServers } from '../../src/balancers/haproxy-state.ts'
import { together } from '../../src/balancers/together.ts'

// From HAProxy 2.6.12, shortened to the columns that matter: slow start, running, down, disabled, unchecked.
const answer = `1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord
3 web 1 s1 127.0.0.1 1 0 1 1 1 15 3 3 6 0 0 0 - 18081 -
3 web 2 s2 127.0.0.1 2 0 50 50 1 15 3 4 6 0 0 0 app2.internal 18082 -
3 web 3 s3 127.0.0.1 0 0 1 1 2 8 2 0 6 0 0 0 - 18083 -
3 web 4 s4 127.0.0.1 0 5 1 1 2 1 0 0 8 0 0 0 - 18081 -
3 web 5 s5 127.0.0.1 2 4 1 1 2 1 0 2 0 0 0 0 - 18081 -

# pxname,svname,qcur,scur,stot,status,throttle,check_rise,check_fall,used_conn_cur
web,s1,0,0,0,UP,38,2,2,0
web,s2,1,3,900,UP,,2,3,4
web,s3,0,0,0,DOWN,,2,3,0
web,s4,0,0,0,MAINT,,,,0
web,s5,0,0,7,no check,,,,0

`

describe('what HAProxy answers', () => {
  const servers = parseServers(answer)
  const of = (name: string) => servers.find(s => s.name === name) as HaproxyServer

  it('is read by the names of its columns', () => {
    expect(of('s2')).toEqual({
      backend: 'web',
      name: 's2',
      address: '127.0.0.1',
      port: 18082,
      fqdn: 'app2.internal',
      admin: 'ready',
      operational: 'running',
      weight: 50,
      check: { health: 4, rise: 2, fall: 3 },
      inFlight: 5,
      served: 900,
      throttle: undefined,
      status: 'UP',
    })
  })

  it.each([
    ['s1', 'warming'],
    ['s2', 'serving'],
    ['s3', 'unhealthy'],
    ['s4', 'out'],
    // Only came from a `disabled` in the configuration: made ready since.
    ['s5', 'serving'],
  ])('says of %s that it is %s', (name, state) => {
    expect(rotationOf(of(name)).state).toBe(state)
  })

  it('is no server at all where HAProxy says that there is no such backend', () => {
    expect(parseServers("Can't find backend.\n\nNo such proxy.\n\n")).toEqual([])
  })

  it('never puts a server in maintenance back without setting its health down, where it is checked', () => {
    const maintenance = { ...of('s2'), admin: 'maint' } as const
    expect(restoring(maintenance, { admin: 'ready', weight: 50 })).toEqual([
      'set server web/s2 state drain',
      'set server web/s2 health down',
      'set server web/s2 state ready',
    ])
    expect(restoring({ ...maintenance, check: undefined }, { admin: 'ready', weight: 9 })).toEqual([
      'set server web/s2 weight 9',
      'set server web/s2 state drain',
      'set server web/s2 state ready',
    ])
  })
})

describe('several members together', () => {
  const states = ['serving', 'warming', 'draining', 'out', 'unhealthy'] as const
  const rotation = fc
    .constantFrom(...states)
    .map((state): Rotation => (state === 'draining' ? { state, detail: '', inFlight: 1 } : { state, detail: '' }))

  it('are serving only where all are, and out of rotation only where all are', () => {
    fc.assert(
      fc.property(fc.array(rotation, { minLength: 1, maxLength: 6 }), rotations => {
        const { state } = together(rotations)
        const isOut = (s: Rotation['state']) => s === 'out' || s === 'draining'
        expect(state === 'serving').toBe(rotations.every(r => r.state === 'serving'))
        expect(state === 'out').toBe(rotations.every(r => r.state === 'out'))
        expect(isOut(state)).toBe(rotations.every(r => isOut(r.state)))
      }),
    )
  })
})
