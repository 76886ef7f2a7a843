import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { ConnectionError, HostKeyError } from '../../src/errors.ts'
import type { Fleet } from '../../src/fleet/fleet.ts'
import { parseKnownHosts } from '../../src/fleet/known-hosts.ts'
import { freePort } from '../support/free-port.ts'
import { signal } from '../support/processes.ts'
import { newKey } from '../support/ssh-keys.ts'
import { type Sshd, startSshd } from '../support/sshd.ts'
import { waitUntil } from '../support/wait-until.ts'
import { failure, fleetOf, forever, hopTo, serverAt, withTimeOf } from './reach.ts'

const stranger = newKey('ed25519').publicKey
const accepted = (sshd: Sshd) => sshd.log().match(/Accepted publickey/g)?.length ?? 0
const seen = (sshd: Sshd) => sshd.log().match(/Connection from /g)?.length ?? 0

let outer: Sshd
let inner: Sshd
let target: Sshd
beforeAll(async () => {
  ;[outer, inner, target] = await Promise.all([
    startSshd({ name: 'outer', config: ['MaxStartups 10:100:10'] }),
    startSshd({ name: 'inner' }),
    startSshd({ name: 'web1', config: ['MaxStartups 5:100:5'] }),
  ])
})
const fleets: Fleet[] = []
afterEach(() => {
  for (const fleet of fleets.splice(0)) fleet.close()
})
afterAll(() => Promise.all([outer, inner, target].map(s => s.stop())))

const fleet = (knownHosts: string) => {
  const made = fleetOf([target], { knownHosts: parseKnownHosts(knownHosts) })
  fleets.push(made)
  return made
}
const all = () => outer.knownHosts + inner.knownHosts + target.knownHosts
const behindTwo = (name = 'web1') => serverAt(target, { name, bastions: [hopTo(outer), hopTo(inner)] })
const wrong = (sshd: Sshd) => `[127.0.0.1]:${sshd.port} ${stranger}\n`

describe('a server behind bastions', () => {
  it('is reached through two of them, and behaves as any other', async () => {
    const connection = await fleet(all()).connect(behindTwo(), forever)
    const result = await withTimeOf(4711, timeIsUp =>
      connection.run('echo "$SSH_CONNECTION"; sleep 300', { signal: forever, timeout: 4711, onOutput: timeIsUp }),
    )
    expect(result.ended).toBe('timeout')
    expect(result.stdout).toContain('127.0.0.1')
    expect(await connection.run('exit 3', { signal: forever, timeout: 60 })).toMatchObject({ code: 3 })
  })

  it('shares one connection to each bastion with the others, and never crowds it', async () => {
    const before = [accepted(outer), accepted(inner), accepted(target)]
    const made = fleet(all())
    const names = Array.from({ length: 10 }, (_, i) => `web${i}`)
    const connections = await Promise.all(names.map(name => made.connect(behindTwo(name), forever)))
    await Promise.all(connections.map(c => c.run('true', { signal: forever, timeout: 60 })))
    expect([accepted(outer), accepted(inner), accepted(target)]).toEqual([
      before[0]! + 1,
      before[1]! + 1,
      before[2]! + 10,
    ])
  })

  it('is not reached past a bastion whose key is wrong: at each hop the next one hears nothing', async () => {
    const cases = [
      {
        known: wrong(outer) + inner.knownHosts + target.knownHosts,
        at: `bastion ${outer.user}@127.0.0.1:${outer.port}`,
        silent: [inner, target],
      },
      {
        known: outer.knownHosts + wrong(inner) + target.knownHosts,
        at: `bastion ${inner.user}@127.0.0.1:${inner.port}`,
        silent: [target],
      },
      { known: outer.knownHosts + inner.knownHosts + wrong(target), at: 'web1', silent: [] },
    ]
    for (const { known, at, silent } of cases) {
      const logins = accepted(target)
      const before = silent.map(seen)
      const error = await failure(fleet(known).connect(behindTwo(), forever), HostKeyError)
      expect(error.message.startsWith(`${at}: `), error.message).toBe(true)
      expect(silent.map(seen)).toEqual(before)
      expect(accepted(target)).toBe(logins)
    }
  })

  it('that does not listen is an error that names server and bastion’s answer', async () => {
    const port = await freePort()
    const error = await failure(
      fleet(all() + target.knownHosts.replace(String(target.port), String(port))).connect(
        serverAt(target, { port, bastions: [hopTo(outer)] }),
        forever,
      ),
      ConnectionError,
    )
    expect(error.message).toContain(`127.0.0.1 port ${port} is not reached from its bastion`)
    expect(error.message).toContain('Connection refused')
  })

  it('is not reached through one that forbids forwarding, and the setting is named', async () => {
    const strict = await startSshd({ config: ['AllowTcpForwarding no'] })
    const made = fleet(all() + strict.knownHosts)
    const error = await failure(made.connect(serverAt(target, { bastions: [hopTo(strict)] }), forever), ConnectionError)
    expect(error.message).toContain('forbids forwarding')
    expect(error.hint).toContain('AllowTcpForwarding')
    made.close()
    await strict.stop()
  })

  it('is lost with its bastion, and reached again through a new connection to it', async () => {
    const jump = await startSshd({ name: 'jump' })
    const made = fleet(all() + jump.knownHosts)
    const server = serverAt(target, { bastions: [hopTo(jump)] })
    const connection = await made.connect(server, forever)
    const running = connection.run('sleep 300', { signal: forever, timeout: 300 })
    for (const pid of jump.sessions()) signal(pid, 'SIGKILL')
    expect(await running).toMatchObject({ ended: 'lost' })
    const again = await made.connect(server, forever)
    expect(await again.run('true', { signal: forever, timeout: 60 })).toMatchObject({ code: 0 })
    made.close()
    await waitUntil('all is closed', () => jump.sessions().length === 0)
    await jump.stop()
  })

  it('is noticed to be gone when it ends while its bastion stays', async () => {
    const brief = await startSshd({ name: 'brief' })
    const made = fleet(all() + brief.knownHosts)
    const connection = await made.connect(serverAt(brief, { bastions: [hopTo(outer)] }), forever)
    for (const pid of brief.sessions()) signal(pid, 'SIGKILL')
    await waitUntil('it is noticed', () => connection.closed.aborted)
    await brief.stop()
  })
})
