/**
 * Any balancer with a health check: the server's own check is made to fail by a file on the server. Nobody can be asked about the
 * balancer: what is known is the file, and how long it has been so.
 */

import { z } from 'zod'
import { BalancerError } from '../errors.ts'
import { quote } from '../fleet/quote.ts'
import type { BalancerOf, Server } from '../manifest/manifest.ts'
import { allOf } from './all-of.ts'
import type { LoadBalancer, Receipt, Rotation } from './balancer.ts'
import {
  downScript,
  type HealthFile,
  healthHints,
  lookScript,
  parseHealthFile,
  upScript,
} from './health-file-scripts.ts'
import { runOnHost } from './host-script.ts'
import { type Connect, type KeptConnection, keptConnection } from './kept-connection.ts'

export interface HealthFileDeps {
  readonly connect: Connect
  readonly servers: readonly Server[]
  /** Fills the look-ups of `path` in for one server. */
  readonly resolve: (text: string, server: Server) => string
  /** Milliseconds that only grow; default: this process's. */
  readonly now?: () => number
}

/** Whether it was down before, by whomever: then it stays so. */
const data = z.object({ down: z.boolean() })

/** The provider `health-file`. */
export function healthFile(name: string, settings: BalancerOf<'health-file'>, deps: HealthFileDeps): LoadBalancer {
  const { down_when: downWhen, detect } = settings
  const now = deps.now ?? (() => performance.now())
  const connections = new Map<string, KeptConnection>()
  /** When this process put a server's file back, of `now`: an absent file does not tell since when. */
  const putBack = new Map<string, number>()

  const serverOf = (serverName: string): Server => {
    const server = deps.servers.find(s => s.name === serverName)
    if (server) return server
    throw new BalancerError(`${name}: no server of the manifest is called ${serverName}`)
  }
  const pathOf = (server: Server): string => deps.resolve(settings.path, server)

  function run(server: Server, purpose: string, script: string, signal: AbortSignal): Promise<string> {
    const kept = connections.get(server.name) ?? keptConnection(server, deps.connect)
    connections.set(server.name, kept)
    const where = `${server.name}:${pathOf(server)}`
    return runOnHost(kept, { script, where, purpose, hints: healthHints }, signal)
  }

  async function look(server: Server, signal: AbortSignal): Promise<HealthFile> {
    const said = await run(server, 'see the health file', lookScript(pathOf(server), downWhen), signal)
    const file = parseHealthFile(said)
    if (file) return file
    throw new BalancerError(`${name}: ${server.name} does not say how its health file stands`, {
      server: server.name,
      hint: "the server needs GNU's or busybox's stat and date",
    })
  }

  function rotation(server: Server, file: HealthFile): Rotation {
    const what = `${pathOf(server)} is ${(file.state === 'up') === (downWhen === 'absent') ? 'there' : 'absent'}`
    const since = putBack.get(server.name)
    const age = file.state === 'up' && since !== undefined ? Math.min(file.age, (now() - since) / 1000) : file.age
    const left = Math.ceil(detect - age)
    const notYet = `${what}, the balancer notices within ${left} s`
    if (file.state === 'up') return left > 0 ? { state: 'warming', detail: notYet } : { state: 'serving' }
    return left > 0 ? { state: 'draining', detail: notYet } : { state: 'out', detail: what }
  }

  /** It may come back from a server: only what has the right form is taken. */
  function wasDown(receipt: Receipt): boolean {
    const read = data.safeParse(receipt.data)
    if (read.success) return read.data.down
    throw new BalancerError(`the receipt of ${receipt.server} at ${receipt.balancer} cannot be used`, {
      server: receipt.server,
      cause: read.error,
      hint: 'set the health file to its right state by hand',
    })
  }

  return {
    name,
    async preflight(servers, signal) {
      const files = await allOf(servers, signal, async server => ({ server, file: await look(server, signal) }))
      const down = files.filter(f => f.file.state !== 'up').map(f => f.server.name)
      return {
        rotation: Object.fromEntries(files.map(({ server, file }) => [server.name, rotation(server, file)])),
        warnings:
          down.length === 0 || down.length < servers.length
            ? []
            : [
                `${name}: the health file takes every server out (${down.join(', ')}): is \`path\` right, and down_when?`,
              ],
      }
    },
    async receipt(server, signal) {
      const file = await look(server, signal)
      return {
        balancer: name,
        server: server.name,
        before: rotation(server, file).state,
        data: { down: file.state !== 'up' },
      }
    },
    async remove(receipt, signal) {
      const server = serverOf(receipt.server)
      putBack.delete(server.name)
      await run(server, 'take the server out', downScript(pathOf(server), downWhen), signal)
    },
    async restore(receipt, signal) {
      if (wasDown(receipt)) return
      const server = serverOf(receipt.server)
      const said = await run(server, 'put the server back', upScript(pathOf(server), downWhen), signal)
      if (said.trim() === 'ours') putBack.set(server.name, now())
    },
    async read(receipt, signal) {
      const server = serverOf(receipt.server)
      return rotation(server, await look(server, signal))
    },
    isOurs: async (receipt, signal) => (await look(serverOf(receipt.server), signal)).state === 'ours',
    evidence: async () => ({
      drained: 'none',
      serving: 'none',
      settleMs: detect * 1000,
      pollMs: 500,
      longestDrainMs: detect * 1000,
      longestAddMs: detect * 1000,
    }),
    byHand(receipt) {
      const server = serverOf(receipt.server)
      const path = pathOf(server)
      const cut = path.lastIndexOf('/') + 1
      const kept = `${path.slice(0, cut)}.${path.slice(cut)}.deploy-action`
      const line = downWhen === 'absent' ? `mv ${quote(kept)} ${quote(path)}` : `rm ${quote(path)}`
      return `ssh -p ${server.port} ${quote(`${server.user}@${server.host}`)} ${quote(line)} # ${server.name}`
    },
    close() {
      for (const kept of connections.values()) kept.close()
      connections.clear()
    },
  }
}
