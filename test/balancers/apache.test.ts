import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { parsePage } from '../../src/balancers/apache-page.ts'
import { takeOut } from '../../src/balancers/controller.ts'
import type { PlaceSettings } from '../../src/balancers/place.ts'
import { systemClock } from '../../src/clock.ts'
import { BalancerError } from '../../src/errors.ts'
import { waitUntil } from '../support/wait-until.ts'
import { type ApacheSite, apacheSite } from './apache-fixture.ts'
import { keepsTheContract } from './contract.ts'
import { server } from './fixtures.ts'
import { get } from './gated-app.ts'

const { signal } = new AbortController()
const deps = { clock: systemClock, signal, onProgress: () => undefined }
const settings = (more: Partial<PlaceSettings> = {}): PlaceSettings => ({
  waitAfterRemoving: 0,
  waitAfterAdding: 0,
  drainTimeout: 20,
  addTimeout: 20,
  onDrainTimeout: 'fail',
  ...more,
})

keepsTheContract('apache', () => apacheSite({ checked: true }))

describe('a member of Apache', () => {
  let here: ApacheSite
  beforeAll(async () => {
    here = await apacheSite({ sticky: true })
  })
  beforeEach(() => here.reset())
  afterAll(() => here?.stop())

  it('gets its factor, set and drain back as they were', async () => {
    await here.real.set('web1', { w_lf: '7.5', w_ls: '3', w_status_N: '1' })
    const balancer = here.build()
    const receipt = await balancer.receipt(here.servers[0], signal)
    expect(receipt.before).toBe('draining')
    await here.real.set('web1', { w_lf: '1', w_ls: '0', w_status_N: '0', w_status_D: '1' })
    await balancer.restore(receipt, signal)
    const [, , , factor, set, status] = await here.real.row('web1')
    expect([factor, set, status]).toEqual(['7.50', '3', 'Init Drn Ok'])
  })

  it('is found by its route, its URL, its address and what `member` says, and two servers are never one member', async () => {
    const [{ port }] = here.apps
    for (const [called, member] of [
      [server('web1'), undefined],
      [server('a', { id: `http://127.0.0.1:${port}` }), undefined],
      [server('a', { id: `127.0.0.1:${port}` }), undefined],
      [server('1'), 'webNAME'],
    ] as const) {
      const balancer = here.build([called], member === undefined ? {} : { member })
      expect((await balancer.preflight([called], signal)).rotation).toEqual({ [called.name]: { state: 'serving' } })
    }
    const both = [server('a'), server('b')]
    await expect(here.build(both, { member: 'web1' }).preflight(both, signal)).rejects.toThrow(
      /b at lb1:\S+ is the same member as a/,
    )
  })

  it('that clients stick to is drained by the second step, with no failed request', async () => {
    const first = await fetch(`http://127.0.0.1:${here.port}/`)
    const stuckTo = await first.text()
    const cookie = first.headers.get('set-cookie')?.split(';')[0] ?? ''
    expect(cookie).toContain(stuckTo)
    const balancer = here.build()
    const report = await balancer.preflight(here.servers, signal)
    expect(report.warnings).toEqual([expect.stringMatching(/sessions stick by ROUTEID/)])
    const receipt = await balancer.receipt(server(stuckTo), signal)
    const answers: string[] = []
    let going = true
    const client = async () => {
      while (going)
        answers.push(
          await fetch(`http://127.0.0.1:${here.port}/`, { headers: { cookie, connection: 'close' } }).then(
            r => r.text(),
            error => `failed: ${error}`,
          ),
        )
    }
    const load = [client(), client()]
    try {
      const result = await takeOut([{ balancer, receipt, settings: settings({ drainTimeout: 3 }) }], deps)
      expect(result).toMatchObject({ result: 'drained' })
      expect(await here.real.status(stuckTo)).toBe('Init Drn Dis')
      expect(await balancer.isOurs?.(receipt, signal)).toBe(true)
    } finally {
      going = false
      await Promise.all(load)
    }
    expect(answers.filter(a => a !== 'web1' && a !== 'web2')).toEqual([])
    expect(answers).toContain(stuckTo)
  })

  it('an operator disabled is not taken for our own removal', async () => {
    const balancer = here.build()
    const receipt = await balancer.receipt(here.servers[0], signal)
    await here.real.set('web1', { w_status_D: '1' })
    expect(await balancer.isOurs?.(receipt, signal)).toBe(false)
  })

  it('is not taken for drained when a reload made Apache forget what its old processes still answer', async () => {
    const balancer = here.build()
    const [app1, app2] = here.apps
    const held: Promise<string>[] = []
    await waitUntil('a request is held at web1', () => {
      if (app1.held() === 0) held.push(get(here.port, '/hold'))
      return app1.held() > 0
    })
    app2.release()
    const receipt = await balancer.receipt(here.servers[0], signal)
    await balancer.remove(receipt, signal)
    await here.real.reload()
    await balancer.remove(receipt, signal)
    const [, , , , , status, , busy] = await here.real.row('web1')
    expect([status, busy]).toEqual(['Init Drn Ok', '0']) // though it is held
    const seen = await balancer.read(receipt, signal)
    expect(seen).toMatchObject({ state: 'draining', detail: expect.stringContaining('was reloaded') })
    expect('inFlight' in seen).toBe(false)
    app1.release()
    for (const answer of await Promise.all(held)) expect(answer).toMatch(/^web/)
    await balancer.restore(receipt, signal)
    expect(await balancer.read(receipt, signal)).toEqual({ state: 'serving' })
  })

  it('is not written from a receipt that holds anything else', async () => {
    const balancer = here.build()
    const receipt = await balancer.receipt(here.servers[0], signal)
    const [entry] = (receipt.data as { members: object[] }).members
    for (const bad of [{ factor: '1&w_status_S=1' }, { set: 1e9 }, { extra: 1 }]) {
      const forged = { ...receipt, data: { members: [{ ...entry, ...bad }] } }
      await expect(balancer.restore(forged, signal)).rejects.toThrow('cannot be used')
    }
    const other = `http://127.0.0.1:${here.apps[1].port}`
    await here.real.set('web2', { w_status_D: '1' })
    await balancer.restore({ ...receipt, data: { members: [{ ...entry, worker: other }] } }, signal)
    expect(await here.real.status('web2')).toBe('Init Dis')
  })

  it('stays serving where a place of the manifest is wrong, and the error says what there is', async () => {
    for (const [more, text] of [
      [{ balancer: 'nope' }, /no balancer:\/\/nope .*there are: app/],
      [{ path: '/nothing' }, /Apache\/2\.4.* answered HTTP 404/],
      [{ path: '/' }, /it is no such page|HTTP/],
    ] as const) {
      const error = await here
        .build(here.servers, more)
        .preflight(here.servers, signal)
        .catch((e: unknown) => e)
      expect(error).toBeInstanceOf(BalancerError)
      expect((error as BalancerError).message).toMatch(text)
      expect((error as BalancerError).hint).toBeDefined()
    }
    expect(() => here.build(here.servers, { admin: '10.0.0.2:80' })).toThrow(/cannot be reached|no admin address/)
    expect(() => here.build(here.servers, { virtual_host: 'a b' })).toThrow(BalancerError)
  })

  describe('as its page tells it', () => {
    const parse = (html: string) => parsePage(html, 'app', 'lb1')
    let html: string
    beforeAll(async () => {
      html = await here.real.page()
    })

    it('is read whole', () => {
      const { members, nonce, sticky, serverName } = parse(html)
      expect(members.map(m => [m.route, m.factor, m.set, m.busy])).toEqual([
        ['web1', '1.00', 0, 0],
        ['web2', '1.00', 0, 0],
      ])
      expect(nonce).toMatch(/^[0-9a-f-]{36}$/)
      expect([sticky, serverName]).toEqual(['ROUTEID', '127.0.0.1'])
    })

    it('is read also as older versions write it: other quotes, a bare &, whole factors, no health columns', () => {
      const old = html
        .replace(/<a href="([^"]*)">/g, "<a href='$1'>")
        .replaceAll('&amp;', '&')
        .replaceAll('<td>1.00</td>', '<td>1</td>')
        .replace(/<th>HC Method<\/th>.*?<\/tr>/g, '</tr>')
        .replace(/<td>NONE<\/td>.*?<\/tr>/g, '</tr>')
      expect(old).not.toContain('HC ')
      expect(parse(old).members.map(m => [m.route, m.factor, m.check])).toEqual([
        ['web1', '1', undefined],
        ['web2', '1', undefined],
      ])
    })

    it('is an error with the version when anything is not as known', () => {
      for (const strange of [
        html.replace('<th>Busy</th>', '<th>Active</th>'),
        html.replace('Init Ok', 'Init Resting'),
        html.replace('</body></html>', ''),
        html.replace(/Init Ok <\/td><td>\d+/, 'Init Ok </td><td>-1'),
        html.replace(/nonce=[^"]*">balancer/, 'token=1">balancer'),
        html.replace(/<td>web1<\/td>/, ''),
      ]) {
        expect(strange).not.toBe(html)
        expect(() => parse(strange)).toThrow(/cannot be read.*Apache\/2\.4\.\d+/)
      }
      expect(() => parse('<html><body>Welcome</body></html>')).toThrow(/it is no such page/)
    })

    it('tells no number where Apache has counted below zero', () => {
      const busy = /(<td>Init Ok <\/td><td>\d+<\/td><td>)0(<\/td>)/
      expect(parse(html.replace(busy, '$118446744073709551615$2')).members[0]?.busy).toBeUndefined()
    })
  })
})
