/**
 * A small real proxy whose word runs ahead of its deeds, as a cloud's does: asked, it says at once what it was told; it routes so only
 * after a while. It is driven over HTTP: GET /remove/NAME, /add/NAME; /drained/NAME and /serving/NAME answer 200 or 409.
 */
import { createServer } from 'node:http'
import { type Backend, startRouter } from '../balancers/routing.ts'

export interface LaggingProxy {
  /** Where the users come in. */
  readonly url: string
  /** Milliseconds; for what is told from now on. Number.POSITIVE_INFINITY: it takes effect by `settle` alone. */
  lag(lag: { readonly out: number; readonly in: number }): void
  /** What was told so far takes effect now. */
  settle(): void
  /** The settings of provider `command` that drive it. */
  readonly scripts: Readonly<Record<'remove' | 'drained' | 'add' | 'serving', string>>
  stop(): Promise<void>
}

interface Order {
  readonly is: 'in' | 'out'
  /** Milliseconds of performance.now(). */
  readonly takesEffect: number
}

export async function laggingProxy(backends: readonly Backend[]): Promise<LaggingProxy> {
  let lag = { out: 0, in: 0 }
  const orders = new Map<string, Order[]>(backends.map(b => [b.name, [{ is: 'in', takesEffect: 0 }]]))
  const said = (name: string) => orders.get(name)?.at(-1)?.is
  const done = (name: string) => orders.get(name)?.findLast(o => o.takesEffect <= performance.now())?.is
  const router = await startRouter(() => backends.filter(b => done(b.name) === 'in'))

  const order = (name: string, is: Order['is']) => {
    if (said(name) !== is) orders.get(name)?.push({ is, takesEffect: performance.now() + lag[is] })
  }
  const control = createServer((request, response) => {
    const [, what, name = ''] = (request.url ?? '').split('/')
    if (what === 'remove') order(name, 'out')
    if (what === 'add') order(name, 'in')
    const is = said(name)
    const good = is !== undefined && (what === 'drained' ? is === 'out' : what === 'serving' ? is === 'in' : true)
    response.writeHead(good ? 200 : 409).end()
  })
  await new Promise<void>(resolve => control.listen(0, '127.0.0.1', resolve))
  const address = control.address()
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port')
  const ask = (what: string) => `curl -fsS -o /dev/null http://127.0.0.1:${address.port}/${what}/$DEPLOY_SERVER`
  return {
    url: `http://127.0.0.1:${router.port}/`,
    lag: next => {
      lag = next
    },
    settle: () => {
      for (const [name, told] of orders)
        orders.set(
          name,
          told.slice(-1).map(o => ({ ...o, takesEffect: 0 })),
        )
    },
    scripts: { remove: ask('remove'), drained: ask('drained'), add: ask('add'), serving: ask('serving') },
    stop: async () => {
      await new Promise(resolve => {
        control.close(resolve)
        control.closeAllConnections()
      })
      await router.stop()
    },
  }
}
