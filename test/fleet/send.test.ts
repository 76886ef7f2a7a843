import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { StepError } from '../../src/errors.ts'
import type { Connection, RunOptions } from '../../src/fleet/connection.ts'
import type { Fleet } from '../../src/fleet/fleet.ts'
import { isRunning } from '../support/processes.ts'
import { type Sshd, startSshd } from '../support/sshd.ts'
import { waitUntil } from '../support/wait-until.ts'
import { failure, fleetOf, forever, serverAt, withTimeOf } from './reach.ts'

const root = mkdtempSync(join(tmpdir(), 'send-'))
const within = (more: Partial<RunOptions> = {}): RunOptions => ({ signal: forever, timeout: 60, ...more })
const at = (name: string) => join(root, name)

let sshd: Sshd
let fleet: Fleet
let connection: Connection
beforeAll(async () => {
  sshd = await startSshd()
  fleet = fleetOf([sshd])
  connection = await fleet.connect(serverAt(sshd), forever)
})
afterAll(async () => {
  fleet.close()
  await sshd.stop()
  rmSync(root, { recursive: true, force: true })
})

/** An input that gives its first part and then nothing, until it is told to go on. */
function held(first: string) {
  let more: ((rest: string | Error | null) => void) | undefined
  const input = new Readable({
    read() {
      if (more) return
      more = rest => (rest instanceof Error ? this.destroy(rest) : this.push(rest))
      this.push(first)
    },
  })
  return { input, go: (rest: string | Error | null) => more?.(rest) }
}
/** A script that would take what came so far for the whole, and keeps its group's id. */
const credulous = (name: string) =>
  `echo $$ >${at(`${name}.pid`)}; cat >${at(name)}; echo committed >${at(`${name}.done`)}`
const arrived = (name: string) =>
  waitUntil('the first part arrived', () => existsSync(at(name)) && statSync(at(name)).size > 0)
const groupOf = (name: string) => Number(readFileSync(at(`${name}.pid`), 'utf8'))

describe('an upload', () => {
  it('arrives byte for byte', async () => {
    const bytes = randomBytes(8 * 1024 * 1024 + 17)
    writeFileSync(at('source'), bytes)
    const result = await connection.send(`cat >${at('copy')}; echo received`, createReadStream(at('source')), within())
    expect(result).toEqual({ ended: 'exit', code: 0, stdout: 'received\n', stderr: '' })
    const hash = (b: Buffer) => createHash('sha256').update(b).digest('hex')
    expect(hash(readFileSync(at('copy')))).toBe(hash(bytes))
  })

  it('may hold what looks like a script, a line of the loader, or nothing', async () => {
    for (const text of ['touch /nowhere\nexit 9\n', '\n\n', 'no newline', '']) {
      expect(await connection.send('cat', Readable.from([Buffer.from(text)]), within())).toMatchObject({
        code: 0,
        stdout: text,
      })
    }
  })

  it('is over when the script is, even if it did not read it all', async () => {
    const endless = new Readable({
      read() {
        this.push(Buffer.alloc(65536))
      },
    })
    expect(await connection.send('head -c 10 | wc -c; exit 3', endless, within())).toMatchObject({
      code: 3,
      stdout: '10\n',
    })
    expect(endless.destroyed).toBe(true)
  })

  it('is read no faster than the other side takes it', async () => {
    let given = 0
    const input = new Readable({
      read() {
        given += 65536
        this.push(given > 64 * 1024 * 1024 ? null : Buffer.alloc(65536))
      },
    })
    const ready = Promise.withResolvers<void>()
    const running = connection.send(
      `echo ready; while [ ! -e ${at('gate')} ]; do sleep 0.05; done; wc -c`,
      input,
      within({ onOutput: () => ready.resolve() }),
    )
    await ready.promise
    let before = -1
    await waitUntil('it stands still', async () => {
      const now = given
      const still = now === before
      before = now
      await new Promise(resolve => setTimeout(resolve, 200))
      return still && given === now
    })
    expect(given).toBeLessThan(16 * 1024 * 1024)
    writeFileSync(at('gate'), '')
    expect((await running).stdout.trim()).toBe(`ready\n${64 * 1024 * 1024}`)
  })

  it('whose input fails is an error, and the script never takes the part for the whole', async () => {
    const { input, go } = held('the first part')
    const running = failure(connection.send(credulous('torn'), input, within()), StepError)
    await arrived('torn')
    go(new Error('disk read error'))
    const error = await running
    expect(error.message).toContain('disk read error')
    await waitUntil('it is gone', () => !isRunning(groupOf('torn')))
    expect(existsSync(at('torn.done'))).toBe(false)
  })

  it('whose input cannot be opened is an error, however long it waits for its turn', async () => {
    const busy = Promise.all(Array.from({ length: 8 }, () => connection.run('sleep 0.5', within())))
    const error = await failure(
      connection.send(credulous('none'), createReadStream(at('not-there')), within()),
      StepError,
    )
    expect(error.message).toContain('ENOENT')
    await busy
    expect(existsSync(at('none.done'))).toBe(false)
  })

  it('that is cancelled is ended, and the script never takes the part for the whole', async () => {
    const { input } = held('the first part')
    const stop = new AbortController()
    const running = connection.send(credulous('cancelled'), input, within({ signal: stop.signal }))
    await arrived('cancelled')
    stop.abort()
    expect(await running).toMatchObject({ ended: 'cancelled' })
    await waitUntil('it is gone', () => !isRunning(groupOf('cancelled')))
    expect(existsSync(at('cancelled.done'))).toBe(false)
    expect(input.destroyed).toBe(true)
  })

  it('that takes too long is ended, also when the script ignores TERM', async () => {
    const { input } = held('the first part')
    const result = await withTimeOf(4711, async timeIsUp => {
      const running = connection.send(`trap '' TERM; ${credulous('slow')}`, input, within({ timeout: 4711 }))
      await arrived('slow')
      timeIsUp()
      return running
    })
    expect(result).toMatchObject({ ended: 'timeout' })
    await waitUntil('it is gone', () => !isRunning(groupOf('slow')))
    expect(existsSync(at('slow.done'))).toBe(false)
  })

  it('is lost with its connection', async () => {
    const { input } = held('the first part')
    const running = connection.send(`cat >${at('lost')}`, input, within())
    await arrived('lost')
    connection.close()
    expect(await running).toMatchObject({ ended: 'lost' })
    connection = await fleet.connect(serverAt(sshd), forever)
  })
})
