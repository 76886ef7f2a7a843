/** Ending a script that still runs, so that nothing of its process group is left. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClientChannel } from 'ssh2'
import { endGroup, killGroup, termGrace } from './loader.ts'
import type { ScriptOutput } from './script-output.ts'
import { type Link, openSession } from './session.ts'

export interface RunningScript {
  readonly link: Link
  readonly channel: ClientChannel
  readonly output: ScriptOutput
  /** Resolves when the script has ended or its channel is closed. */
  readonly over: Promise<unknown>
}

/** Milliseconds that each step may take on top of the grace between TERM and KILL. */
const slack = 4000
const grace = termGrace * 1000

/** Whether `event` happened within `ms`. */
async function within(ms: number, event: Promise<unknown>): Promise<boolean> {
  const limit = new AbortController()
  const timer = sleep(ms, false, { signal: limit.signal }).catch(() => false)
  const happened = await Promise.race([event.then(() => true), timer])
  limit.abort()
  return happened
}

/** Runs a command of loader.ts on a channel of its own, for its effect; waits for its end at most `ms`. */
async function besides(link: Link, command: string, ms: number): Promise<void> {
  const limit = new AbortController()
  const effect = openSession(link, command, () => false, limit.signal).then(
    channel =>
      new Promise(resolve => {
        channel.on('error', () => undefined)
        channel.once('close', resolve)
        channel.resume()
        channel.stderr.resume()
      }),
  )
  await within(
    ms,
    effect.catch(() => undefined),
  )
  limit.abort()
}

/** A script without input: the end of stdin tells its watcher; should the group outlive that, KILL comes by another channel. */
export async function endRunning({ link, channel, output, over }: RunningScript): Promise<void> {
  channel.end()
  if (await within(grace + slack, over)) return
  const group = output.group()
  if (group !== null) await besides(link, killGroup(group), slack)
  await within(slack, over)
}

/** A script with input: the end of stdin would look like the end of the input, so the group is ended from another channel first. */
export async function endSending({ link, output, over }: RunningScript): Promise<void> {
  for (let waited = 0; output.group() === null && waited < slack; waited += 50) if (await within(50, over)) return
  const group = output.group()
  if (group !== null) await besides(link, endGroup(group), grace + slack)
  await within(slack, over)
}
