import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Server as NetServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Clock } from '../../src/clock.ts'
import { AuthenticationError, CancelledError, ConnectionError, HostKeyError, InputError } from '../../src/errors.ts'
import { type Access, type Fleet, openFleet } from '../../src/fleet/fleet.ts'
import { parseKnownHosts } from '../../src/fleet/known-hosts.ts'
import { readPrivateKeys } from '../../src/fleet/private-keys.ts'
import { freePort } from '../support/free-port.ts'
import { signal } from '../support/processes.ts'
import { newKey } from '../support/ssh-keys.ts'
import { type Sshd, startSshd } from '../support/sshd.ts'
import { waitUntil } from '../support/wait-until.ts'
import { failure, fleetOf, forever, serverAt } from './reach.ts'

const root = mkdtempSync(join(tmpdir(), 'connect-'))
const stranger = newKey('ed25519')

/** Time that passes at once; notes how long it was asked to wait. */
function hastyClock() {
  const waits: number[] = []
  const clock: Clock = {
    now: () => performance.now(),
    wall: () => Date.now(),
    sleep: async ms => {
      waits.push(ms)
    },
  }
  return { clock, waits }
}

/** At DEBUG1 sshd tells of every request for authentication: whoever got that far may have been offered something. */
const talkative = ['LogLevel DEBUG1']
const gotToAuthentication = (sshd: Sshd) => /userauth-request|SSH2_MSG_SERVICE_REQUEST|ssh-userauth/.test(sshd.log())
const connections = (sshd: Sshd) => sshd.log().match(/Connection from /g)?.length ?? 0

let sshd: Sshd
beforeAll(async () => {
  sshd = await startSshd({ config: talkative, hostKeyTypes: ['ed25519', 'ecdsa', 'rsa'] })
})
const fleets: Fleet[] = []
afterEach(() => {
  for (const fleet of fleets.splice(0)) fleet.close()
})
afterAll(async () => {
  await sshd.stop()
  rmSync(root, { recursive: true, force: true })
})

const fleet = (more: Partial<Access> = {}, of = sshd) => {
  const made = fleetOf([of], more)
  fleets.push(made)
  return made
}
const hasty = (access: Partial<Access> = {}) => {
  const { clock, waits } = hastyClock()
  const made = openFleet(
    {
      keys: readPrivateKeys(sshd.privateKey, null),
      knownHosts: parseKnownHosts(''),
      strict: false,
      warn: () => undefined,
      ...access,
    },
    clock,
  )
  fleets.push(made)
  return { fleet: made, waits }
}
const works = async (made: Fleet, of = sshd) => {
  const connection = await made.connect(serverAt(of), forever)
  const { stdout } = await connection.run('echo works', { signal: forever, timeout: 60 })
  expect(stdout).toBe('works\n')
  return connection
}

describe('a host key', () => {
  it('that is known lets the deployment in', async () => {
    await works(fleet())
    expect(gotToAuthentication(sshd)).toBe(true) // else the tests below could not fail
  })

  it.each([0, 1, 2])('of a type that is not the first is asked for when it is the known one: %i', async i => {
    await works(fleet({ knownHosts: parseKnownHosts(sshd.knownHosts.split('\n')[i]!) }))
  })

  it('is found under a hashed name', async () => {
    const file = join(root, 'hashed')
    writeFileSync(file, sshd.knownHosts)
    execFileSync('ssh-keygen', ['-H', '-f', file], { stdio: 'ignore' })
    const hashed = readFileSync(file, 'utf8')
    expect(hashed).not.toContain('127.0.0.1')
    await works(fleet({ knownHosts: parseKnownHosts(hashed) }))
  })

  it('may stand with the server, in place of known_hosts', async () => {
    const made = fleet({ knownHosts: null })
    const connection = await made.connect(serverAt(sshd, { hostKeys: sshd.hostKeys }), forever)
    expect((await connection.run('echo works', { signal: forever, timeout: 60 })).stdout).toBe('works\n')
    const wrong = await failure(
      fleet().connect(serverAt(sshd, { hostKeys: [stranger.publicKey] }), forever),
      HostKeyError,
    )
    expect(wrong.message).toContain('host_key of')
  })

  describe('that is not as it should be', () => {
    let guarded: Sshd
    beforeAll(async () => {
      guarded = await startSshd({ config: talkative })
    })
    afterAll(() => guarded.stop())
    const changed = () => parseKnownHosts(`[127.0.0.1]:${guarded.port} ${stranger.publicKey}\n`)
    const refused = (more: Partial<Access>) =>
      failure(fleet(more, guarded).connect(serverAt(guarded), forever), HostKeyError)

    it('is told with everything that is needed to mend it, and nothing is said to that host', async () => {
      const before = connections(guarded)
      const unknown = await refused({ knownHosts: parseKnownHosts('') })
      expect(unknown.message).toContain(`127.0.0.1 port ${guarded.port}`)
      expect(unknown.hint?.split('\n').at(-1)).toBe(guarded.knownHosts.trim())
      const other = await refused({ knownHosts: changed() })
      expect(other.message).toMatch(/another host key/)
      expect(other.server).toBe(guarded.name)
      await refused({ knownHosts: changed(), strict: false })
      await refused({ knownHosts: parseKnownHosts(`@revoked * ${guarded.hostKeys[0]}\n`), strict: false })
      await waitUntil('sshd saw the end of all four', () => (guarded.log().match(/\[preauth\]/g)?.length ?? 0) >= 4)
      expect(connections(guarded)).toBe(before + 4) // and none was tried again
      expect(gotToAuthentication(guarded)).toBe(false)
    })

    it('keeps us from connecting at all where no key of anybody is known', async () => {
      const before = connections(guarded)
      const error = await refused({ knownHosts: null })
      expect(error.hint).toContain('known_hosts')
      expect(connections(guarded)).toBe(before)
    })

    it('is accepted without strictness when it is unknown, with one warning for each server', async () => {
      const warnings: string[] = []
      await works(fleet({ knownHosts: null, strict: false, warn: text => warnings.push(text) }, guarded), guarded)
      expect(warnings).toHaveLength(1)
      expect(warnings[0]).toContain(guarded.knownHosts.trim())
    })
  })
})

describe('a key to get in', () => {
  it('that does not fit is refused once, with what was offered', async () => {
    const before = connections(sshd)
    const keys = readPrivateKeys(stranger.privateKey, null)
    const error = await failure(fleet({ keys }).connect(serverAt(sshd), forever), AuthenticationError)
    expect(error.message).toContain(`does not let ${sshd.user} in`)
    expect(error.message).toContain(keys[0]!.name)
    expect(error.hint).toContain('authorized_keys')
    expect(connections(sshd)).toBe(before + 1)
  })

  it('is found among several', async () => {
    await works(fleet({ keys: readPrivateKeys(stranger.privateKey + sshd.privateKey, null) }))
    const rsa = newKey('rsa')
    const other = await startSshd({ authorizedKeys: rsa.publicKey })
    await works(fleet({ keys: readPrivateKeys(stranger.privateKey + rsa.privateKey, null) }, other), other)
    await other.stop()
  })

  it('among more than the server cares to try is an error that says so', async () => {
    const many = Array.from({ length: 8 }, () => newKey('ed25519').privateKey).join('')
    const error = await failure(
      fleet({ keys: readPrivateKeys(many, null) }).connect(serverAt(sshd), forever),
      AuthenticationError,
    )
    expect(error.message).toContain('so many keys')
    expect(error.hint).toContain('MaxAuthTries')
  })

  it('may be the agent’s', async () => {
    const socket = join(root, 'agent')
    const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: ['ignore', 'pipe', 'ignore'] })
    try {
      await new Promise(resolve => agent.stdout.once('data', resolve))
      execFileSync('ssh-add', ['-q', '-'], {
        input: sshd.privateKey,
        env: { ...process.env, SSH_AUTH_SOCK: socket },
        stdio: ['pipe', 'ignore', 'ignore'],
      })
      await works(fleet({ keys: [], agent: socket }))
    } finally {
      agent.kill()
    }
  })

  it('of an agent that is not there is an error that names it', async () => {
    const error = await failure(
      fleet({ keys: [], agent: join(root, 'nobody') }).connect(serverAt(sshd), forever),
      AuthenticationError,
    )
    expect(error.message).toContain('nobody')
  })

  it('has to be there before anything is opened', () => {
    expect(() => fleet({ keys: [] })).toThrow(InputError)
  })
})

describe('a server that is not reached', () => {
  const listening: { server: NetServer; sockets: Set<Socket> }[] = []
  afterEach(async () => {
    for (const { server, sockets } of listening.splice(0)) {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    }
  })
  /** Something that accepts connections, and does this with them. */
  async function something(onConnection: (socket: Socket) => void, host = '127.0.0.1') {
    const sockets = new Set<Socket>()
    let accepted = 0
    const server = createServer(socket => {
      sockets.add(socket)
      accepted++
      socket.on('error', () => undefined)
      onConnection(socket)
    })
    await new Promise<void>(resolve => server.listen(0, host, resolve))
    listening.push({ server, sockets })
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('a port was expected')
    return { port: address.port, accepted: () => accepted }
  }

  it('because the port is closed is tried three times, ever later', async () => {
    const { fleet: made, waits } = hasty()
    const port = await freePort()
    const error = await failure(made.connect(serverAt(sshd, { port }), forever), ConnectionError)
    expect(error.message).toMatch(new RegExp(`127\\.0\\.0\\.1 port ${port}: ECONNREFUSED after \\d+\\.\\d s`))
    expect(error.hint).toContain('is sshd running')
    expect(waits).toHaveLength(2)
    expect(waits[0]).toBeGreaterThanOrEqual(250)
    expect(waits[0]).toBeLessThan(750)
    expect(waits[1]).toBeGreaterThanOrEqual(500)
    expect(waits[1]).toBeLessThan(1500)
  })

  it('because its name does not exist says so', async () => {
    const error = await failure(
      hasty().fleet.connect(serverAt(sshd, { host: 'web1.invalid' }), forever),
      ConnectionError,
    )
    expect(error.message).toMatch(/web1\.invalid port \d+: (ENOTFOUND|EAI_AGAIN)/)
  })

  it('because it says nothing is given up after the time for a handshake, with that phase named', async () => {
    const silent = await something(() => undefined)
    const error = await failure(
      hasty().fleet.connect(serverAt(sshd, { port: silent.port, connectTimeout: 2 }), forever),
      ConnectionError,
    )
    expect(error.message).toMatch(/SSH handshake .* failed after .*: no answer within 2 s/)
    expect(error.stage).toBe('handshake')
    expect(silent.accepted()).toBe(3)
  })

  it('because it hangs up, or is no SSH server, says so', async () => {
    const rude = await something(socket => socket.destroy())
    const hungUp = await failure(hasty().fleet.connect(serverAt(sshd, { port: rude.port }), forever), ConnectionError)
    expect(hungUp.hint).toContain('MaxStartups')
    const web = await something(socket => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
    await failure(
      hasty().fleet.connect(serverAt(sshd, { port: web.port, connectTimeout: 5 }), forever),
      ConnectionError,
    )
  })

  it('holds up no more than its share of handshakes: four at one address, eight in all', async () => {
    let greeted = 0
    const places = await Promise.all(
      ['127.0.0.1', '127.0.0.2', '127.0.0.3'].map(async host => {
        const silent = await something(socket => socket.once('data', () => greeted++), host)
        return { host, ...silent }
      }),
    )
    const { fleet: made } = hasty()
    const stop = new AbortController()
    const connecting = places.flatMap(({ host, port }) =>
      Array.from({ length: 10 }, (_, i) =>
        made.connect(serverAt(sshd, { name: `${host} ${i}`, host, port, connectTimeout: 1000 }), stop.signal),
      ),
    )
    const settled = Promise.allSettled(connecting)
    await waitUntil(
      'as many as may do so wait for an answer',
      () => greeted >= 8 && places.every(p => p.accepted() >= 4),
    )
    await sleep(300) // long enough for more to come, if more could
    expect(places.map(p => p.accepted())).toEqual([4, 4, 4])
    expect(greeted).toBe(8)
    stop.abort(new CancelledError('enough'))
    expect((await settled).every(s => s.status === 'rejected')).toBe(true)
  })

  it('but then is, counts as reached', async () => {
    let calls = 0
    const moody = await something(socket => {
      if (++calls < 3) {
        socket.destroy()
        return
      }
      const onward = connect(sshd.port, '127.0.0.1')
      onward.on('error', () => undefined)
      socket.pipe(onward).pipe(socket)
    })
    const connection = await hasty().fleet.connect(serverAt(sshd, { port: moody.port }), forever)
    expect((await connection.run('echo works', { signal: forever, timeout: 60 })).stdout).toBe('works\n')
  })

  it('is not waited for once the run is cancelled', async () => {
    const silent = await something(() => undefined)
    const stop = new AbortController()
    const connecting = hasty().fleet.connect(serverAt(sshd, { port: silent.port, connectTimeout: 1000 }), stop.signal)
    await waitUntil('it is dialled', () => silent.accepted() === 1)
    stop.abort(new CancelledError('cancelled by the test'))
    expect((await failure(connecting, CancelledError)).message).toBe('cancelled by the test')
    await failure(
      hasty().fleet.connect(serverAt(sshd), AbortSignal.abort(new CancelledError('before'))),
      CancelledError,
    )
  })

  it('is given up when the fleet is closed', async () => {
    const silent = await something(() => undefined)
    const { fleet: made } = hasty()
    const connecting = made.connect(serverAt(sshd, { port: silent.port, connectTimeout: 1000 }), forever)
    await waitUntil('it is dialled', () => silent.accepted() === 1)
    made.close()
    await failure(connecting, CancelledError)
  })
})

describe('a connection', () => {
  it('is one for each server, shared by all who ask', async () => {
    const made = fleet()
    const before = connections(sshd)
    const [a, b] = await Promise.all([works(made), works(made)])
    expect(a).toBe(b)
    expect(connections(sshd)).toBe(before + 1)
  })

  it('that goes silent is given up by keepalive, and a new one can be made', async () => {
    const frozen = await startSshd()
    const made = fleet({}, frozen)
    const connection = await made.connect(serverAt(frozen, { keepalive: 2 }), forever)
    const running = connection.run('sleep 300', { signal: forever, timeout: 300 })
    const pids = await waitUntil('its process is there', () =>
      frozen.sessions().length > 0 ? frozen.sessions() : null,
    )
    for (const pid of pids) signal(pid, 'SIGSTOP')
    const result = await running
    expect(result).toMatchObject({ ended: 'lost', reason: expect.stringContaining('Keepalive timeout') })
    expect(connection.closed.aborted).toBe(true)
    await works(made, frozen)
    for (const pid of pids) signal(pid, 'SIGKILL')
    await frozen.stop()
  })

  it('is made to twenty servers at once, though one sshd that stands for all of them would drop so many', async () => {
    const many = await startSshd({ config: ['MaxStartups 10:100:10'] })
    const made = fleet({}, many)
    const names = Array.from({ length: 20 }, (_, i) => `web${i + 1}`)
    const all = await Promise.all(names.map(name => made.connect(serverAt(many, { name }), forever)))
    const said = await Promise.all(all.map(c => c.run('echo here', { signal: forever, timeout: 60 })))
    expect(said.map(r => r.stdout)).toEqual(names.map(() => 'here\n'))
    expect(all.map(c => c.name)).toEqual(names)
    made.close()
    await waitUntil('all are closed', () => many.sessions().length === 0)
    await many.stop()
  })
})
