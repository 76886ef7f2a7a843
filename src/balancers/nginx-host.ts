/** One host of nginx: looks at it, remembers what its workers loaded, and marks members there. */
import { BalancerError, messageOf } from '../errors.ts'
import type { Server } from '../manifest/manifest.ts'
import { runOnHost } from './host-script.ts'
import { type Connect, keptConnection } from './kept-connection.ts'
import { editsFor, membersOfFile, type NginxMember } from './nginx-config.ts'
import { type Loaded, type Look, loadedBy, parseLook } from './nginx-look.ts'
import { lookScript, markScript, nginxHints } from './nginx-scripts.ts'

export interface NginxSettings {
  readonly file: string
  readonly become: string | undefined
}

/** What was seen of a host at one moment. */
export interface Seen {
  readonly look: Look
  /** As the file has them now. */
  readonly members: readonly NginxMember[]
  /** As the workers that take connections have them: one list for each version that runs; null: not known. */
  readonly running: readonly (readonly NginxMember[])[] | null
}

export interface NginxHost {
  readonly host: Server
  /** For messages: `lb1:/etc/nginx/upstream.d/app.conf`. */
  readonly where: string
  look(signal: AbortSignal): Promise<Seen>
  /**
   * Marks members of what was just seen as down, or takes our mark away, and reloads. Gives the tick (as `Worker.start`) of the reload:
   * workers that were started until then may run the file as it was before. `reload`: a person's script, as POSIX sh.
   */
  mark(change: Change, signal: AbortSignal): Promise<number>
  close(): void
}

export interface Change {
  readonly seen: Seen
  readonly members: readonly NginxMember[]
  readonly to: 'down' | 'up'
  readonly reload: string | undefined
}

export function nginxHost(host: Server, settings: NginxSettings, connect: Connect): NginxHost {
  const { file, become } = settings
  const where = `${host.name}:${file}`
  const connection = keptConnection(host, connect)
  let master: string | null = null
  let loaded: Loaded | undefined

  const run = (purpose: string, script: string, signal: AbortSignal) =>
    runOnHost(connection, { script, where, purpose, become, hints: nginxHints }, signal)

  const parsed = <T>(work: () => T): T => {
    try {
      return work()
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error
      throw new BalancerError(`cannot use what is at ${where}: ${messageOf(error)}`, {
        cause: error,
        hint: '`file` has to hold the `server` lines of an upstream, as nginx itself reads them',
      })
    }
  }

  async function look(signal: AbortSignal): Promise<Seen> {
    const answer = await run('see the members', lookScript(file, master), signal)
    return parsed(() => {
      const look = parseLook(answer)
      master = look.master
      const contents = loadedBy(look, loaded)
      const [content] = contents ?? []
      if (contents?.length === 1 && content !== undefined)
        loaded = { workers: new Set(look.current.map(w => w.key)), content }
      return {
        look,
        members: membersOfFile(look.content),
        running: contents?.map(membersOfFile) ?? null,
      }
    })
  }

  return {
    host,
    where,
    look,
    async mark({ seen, members, to, reload }, signal) {
      const edits = parsed(() => editsFor(seen.look.content, members, to))
      const purpose = to === 'down' ? 'take the server out' : 'put the server back'
      const answer = await run(purpose, markScript({ file, known: master, edits, reload }), signal)
      const tick = Number(/^reloaded .*\) (.*)$/m.exec(answer)?.[1]?.split(' ')[19])
      return Number.isFinite(tick) ? tick : Number.POSITIVE_INFINITY
    },
    close: connection.close,
  }
}
