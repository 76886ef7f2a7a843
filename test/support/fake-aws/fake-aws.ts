/**
 * A FAKE of AWS's Elastic Load Balancing, made from its API references: it verifies signatures, refuses what does not fit the description,
 * models states on a clock, and really routes HTTP by that model, with its lag. It is not AWS: what only AWS does is not in it.
 */
import { createServer } from 'node:http'
import type { Clock } from '../../../src/clock.ts'
import { type Router, startRouter } from '../../balancers/routing.ts'
import { type Account, answerTo, document, isRefusal } from './answers.ts'
import { type FakeList, type FakeMachine, type FakeTarget, fakeList, type ListOptions } from './model.ts'
import { readCall } from './shapes.ts'
import { type Refusal, signerOf, type User } from './signature.ts'

export type AwsFault = 'silent no-op' | 'throttling' | 'too many requests' | 'API gone' | 'stale'

export interface FakeAwsOptions {
  readonly clock: Pick<Clock, 'now'>
  /** By instance id or address. */
  readonly machines: Readonly<Record<string, FakeMachine>>
  /** Target groups by ARN, classic load balancers by name. */
  readonly groups?: Readonly<Record<string, ListOptions>>
  readonly classics?: Readonly<Record<string, ListOptions>>
  readonly users: Readonly<Record<string, User>>
  readonly isUp: (machine: FakeMachine) => boolean
  /** Of the data plane, after a removal, in milliseconds. */
  readonly lagMs?: number
  readonly region?: string
}

export interface FakeAws {
  /** Of the API. */
  readonly url: string
  /** Of the data plane, which routes by all lists that are used. */
  readonly router: Router
  readonly groups: ReadonlyMap<string, FakeList>
  readonly classics: ReadonlyMap<string, FakeList>
  /** Actions that were asked for, in order, `refused` with why. */
  readonly calls: readonly { readonly action: string; readonly refused?: string }[]
  /** Requests that do not fit the API's description; a test that is good has none. */
  readonly complaints: readonly string[]
  fault(fault: AwsFault | null): void
  stop(): Promise<void>
}

const listen = (server: ReturnType<typeof createServer>): Promise<number> =>
  new Promise(resolve =>
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : 0)
    }),
  )

const wellMeant = new Set([
  'Throttling',
  'AccessDenied',
  'InvalidClientTokenId',
  'ExpiredToken',
  'SignatureDoesNotMatch',
])

export async function startFakeAws(options: FakeAwsOptions): Promise<FakeAws> {
  const { clock, machines, users, region = 'eu-west-1', lagMs = 19_000 } = options
  const calls: { action: string; refused?: string }[] = []
  const complaints: string[] = []
  let fault: AwsFault | null = null
  let router: Router | undefined

  const machineOf = ({ id, port }: FakeTarget): FakeMachine => {
    const machine = machines[id]
    // Several machines of a test share one address: their ports tell them apart.
    const named = Object.values(machines).find(m => m.port === port)
    return port === undefined || machine === undefined
      ? (machine ?? { name: id, port: 9 })
      : { name: named?.name ?? machine.name, port }
  }
  const model = {
    clock,
    lagMs,
    isUp: (target: FakeTarget) => options.isUp(machineOf(target)),
    inFlight: (target: FakeTarget) => router?.inFlight(machineOf(target).name) ?? 0,
  }
  const lists = (from: Readonly<Record<string, ListOptions>> = {}) =>
    new Map(Object.entries(from).map(([key, list]) => [key, fakeList(list, model)]))
  const groups = lists(options.groups)
  const classics = lists(options.classics)
  const routes = () =>
    [...groups.values(), ...classics.values()].flatMap(l => (l.options.used ? l.routes().map(machineOf) : []))
  router = await startRouter(routes)

  /** The answer's status and XML. */
  function answer(method: string, url: string, headers: Parameters<typeof signerOf>[0]['headers'], body: Buffer) {
    const call = readCall(body.toString('utf8'))
    const version = typeof call === 'string' ? '2015-12-01' : call.version
    const action = typeof call === 'string' ? '' : call.action
    const refused = ({ status, code, message }: Refusal) => {
      calls.push({ action, refused: code })
      if (!wellMeant.has(code)) complaints.push(`${action}: ${code}: ${message}`)
      const error = {
        Error: { Type: status < 500 ? 'Sender' : 'Receiver', Code: code, Message: message },
        RequestId: 'fake',
      }
      return { status, body: document(version, 'ErrorResponse', error) }
    }
    const who = signerOf({ method, url, headers, body }, users, region)
    if (isRefusal(who)) return refused(who)
    if (method !== 'POST' || !String(headers['content-type']).startsWith('application/x-www-form-urlencoded'))
      return refused({ status: 400, code: 'ValidationError', message: `${method} ${headers['content-type']}` })
    if (typeof call === 'string') return refused({ status: 400, code: 'ValidationError', message: call })
    if (fault === 'throttling') return refused({ status: 400, code: 'Throttling', message: 'Rate exceeded' })
    if (!(who.may?.(action) ?? true))
      return refused({
        status: 403,
        code: 'AccessDenied',
        message: `User: arn:aws:sts::123456789012:assumed-role/deploy is not authorized to perform: elasticloadbalancing:${action}`,
      })
    const account: Account = {
      groups,
      classics,
      machines,
      ignoresWrites: fault === 'silent no-op',
      staleMs: fault === 'stale' ? 4000 : 0,
    }
    const given = answerTo(call, account)
    if (isRefusal(given)) return refused(given)
    calls.push({ action })
    return {
      status: 200,
      body: document(version, `${action}Response`, {
        [`${action}Result`]: given.result,
        ResponseMetadata: { RequestId: 'fake' },
      }),
    }
  }

  const server = createServer((request, response) => {
    if (fault === 'API gone') {
      request.socket.destroy()
      return
    }
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      if (fault === 'too many requests') {
        calls.push({ action: '', refused: '503' })
        response.writeHead(503, { 'retry-after': '7' }).end()
        return
      }
      const { status, body } = answer(request.method ?? '', request.url ?? '', request.headers, Buffer.concat(parts))
      response.writeHead(status, { 'content-type': 'text/xml' }).end(body)
    })
  })
  const port = await listen(server)
  return {
    url: `http://127.0.0.1:${port}`,
    router,
    groups,
    classics,
    calls,
    complaints,
    fault: next => {
      fault = next
    },
    stop: async () => {
      server.close()
      server.closeAllConnections()
      await router.stop()
    },
  }
}
