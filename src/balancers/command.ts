/** Any balancer by the person's own scripts. `drained` and `serving` say yes by exit 0, and "not yet" by anything else. */
import { BalancerError } from '../errors.ts'
import type { Output } from '../fleet/connection.ts'
import { stepScript } from '../fleet/step-script.ts'
import type { BalancerOf, Server } from '../manifest/manifest.ts'
import type { Shell } from '../manifest/schema.ts'
import { allOf } from './all-of.ts'
import type { LoadBalancer, Receipt, Rotation } from './balancer.ts'
import { type Connect, type KeptConnection, keptConnection } from './kept-connection.ts'
import { runLocally } from './local-script.ts'

export interface CommandDeps {
  readonly servers: readonly Server[]
  readonly connect: Connect
  readonly shell: Shell
  /** What scripts see: DEPLOY_* and env, and secrets, which go to a server only over stdin. */
  readonly variables: (server: Server) => {
    readonly env: Readonly<Record<string, string>>
    readonly secrets: Readonly<Record<string, string>>
  }
  /** The runner's own environment, for scripts that run there. */
  readonly runnerEnv: Readonly<Record<string, string>>
  readonly onOutput: (server: string, output: Output) => void
}

type Script = 'remove' | 'drained' | 'add' | 'serving'

const callSeconds = 10

/** How a script ended, the same from the runner and from a server. */
type Ended = { readonly code: number; readonly tail: string } | { readonly cause: string; readonly tail: string }

/** The provider `command`. */
export function command(name: string, settings: BalancerOf<'command'>, deps: CommandDeps): LoadBalancer {
  /** What was asked for last, by server: only that tells draining from warming. */
  const asked = new Map<string, 'remove' | 'add'>()
  const connections = new Map<string, KeptConnection>()

  const serverOf = (serverName: string): Server => {
    const server = deps.servers.find(s => s.name === serverName)
    if (server) return server
    throw new BalancerError(`${name}: no server of the manifest is called ${serverName}`)
  }

  function connection(server: Server): KeptConnection {
    const kept = connections.get(server.name) ?? keptConnection(server, deps.connect)
    connections.set(server.name, kept)
    return kept
  }

  async function onRunner(text: string, server: Server, signal: AbortSignal): Promise<Ended> {
    const { env, secrets } = deps.variables(server)
    const result = await runLocally(text, {
      env: { ...deps.runnerEnv, ...env, ...secrets },
      timeout: callSeconds,
      signal,
      onOutput: output => deps.onOutput(server.name, output),
    })
    if (result.ended === 'exit') return result
    const cause = result.ended === 'timeout' ? `did not end within ${callSeconds} s` : `was ended by ${result.name}`
    return { cause, tail: result.tail }
  }

  async function onServer(text: string, server: Server, signal: AbortSignal): Promise<Ended> {
    const { env, secrets } = deps.variables(server)
    const open = await connection(server).get(signal)
    const result = await open.run(stepScript({ script: text, shell: deps.shell, env, secrets, directory: '~' }), {
      signal,
      timeout: callSeconds,
      onOutput: output => deps.onOutput(server.name, output),
    })
    if (signal.aborted) throw signal.reason
    const tail = (result.stdout + result.stderr).slice(-2000)
    if (result.ended === 'exit') return { code: result.code, tail }
    if (result.ended === 'timeout') return { cause: `did not end within ${callSeconds} s`, tail }
    if (result.ended === 'lost') return { cause: `was lost with the connection: ${result.reason}`, tail }
    return { cause: result.ended === 'signal' ? `was ended by ${result.name}` : 'was cancelled', tail }
  }

  /** The exit code. Throws BalancerError where the script could not do its work at all. */
  async function run(script: Script, server: Server, signal: AbortSignal): Promise<{ code: number; tail: string }> {
    const where = settings.on === 'server' ? server.name : 'the runner'
    const fail = (what: string, tail: string, cause?: unknown): never => {
      throw new BalancerError(`${name}: the script \`${script}\` for ${server.name} on ${where} ${what}`, {
        server: server.name,
        cause,
        hint: tail.trim() === '' ? 'run it by hand with the same variables' : `it said: ${tail.trim().slice(-500)}`,
      })
    }
    let ended: Ended
    try {
      ended = await (settings.on === 'server' ? onServer : onRunner)(settings[script], server, signal)
    } catch (error) {
      if (signal.aborted) throw signal.reason
      if (error instanceof BalancerError) throw error
      return fail(`could not be run: ${error instanceof Error ? error.message : String(error)}`, '', error)
    }
    if ('cause' in ended) return fail(ended.cause, ended.tail)
    // 126 and 127: the shell found no such command, or may not run it. That is no "not yet".
    if (ended.code === 126 || ended.code === 127) return fail(`could not be started (exit ${ended.code})`, ended.tail)
    return ended
  }

  async function write(script: 'remove' | 'add', receipt: Receipt, signal: AbortSignal): Promise<void> {
    const server = serverOf(receipt.server)
    asked.set(server.name, script)
    const { code, tail } = await run(script, server, signal)
    if (code !== 0)
      throw new BalancerError(`${name}: the script \`${script}\` for ${server.name} failed with exit ${code}`, {
        server: server.name,
        hint: tail.trim() === '' ? 'run it by hand with the same variables' : `it said: ${tail.trim().slice(-500)}`,
      })
  }

  async function rotation(server: Server, signal: AbortSignal): Promise<Rotation> {
    if ((await run('serving', server, signal)).code === 0) return { state: 'serving' }
    if ((await run('drained', server, signal)).code === 0) return { state: 'out', detail: '`drained` says so' }
    const last = asked.get(server.name)
    if (last === 'remove') return { state: 'draining', detail: '`drained` says not yet' }
    if (last === 'add') return { state: 'warming', detail: '`serving` says not yet' }
    return { state: 'unhealthy', detail: 'neither `serving` nor `drained` says yes' }
  }

  return {
    name,
    async preflight(servers, signal) {
      const entries = await allOf(servers, signal, async s => [s.name, await rotation(s, signal)] as const)
      return { rotation: Object.fromEntries(entries), warnings: [] }
    },
    receipt: async (server, signal) => ({
      balancer: name,
      server: server.name,
      before: (await rotation(server, signal)).state,
      data: {},
    }),
    remove: (receipt, signal) => write('remove', receipt, signal),
    // What was out before was never put there by us: the state before is "out".
    restore: async (receipt, signal) => {
      if (receipt.before !== 'out') await write('add', receipt, signal)
    },
    read: (receipt, signal) => rotation(serverOf(receipt.server), signal),
    evidence: async () => ({ drained: 'state', serving: 'state', settleMs: 0, pollMs: 1000 }),
    byHand: receipt =>
      `# ${settings.on === 'server' ? `on ${receipt.server}` : 'where you like'}, with DEPLOY_SERVER=${receipt.server}\n${settings.add.trim()}`,
    close() {
      for (const kept of connections.values()) kept.close()
      connections.clear()
    },
  }
}
