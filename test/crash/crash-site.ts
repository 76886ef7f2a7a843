/** A site that outlives many killed runs: what was packed into which release is kept, and every case begins with all servers serving. */
import { readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { lives } from '../support/app.ts'
import { filesBelow } from '../support/files-below.ts'
import type { RunningAction } from '../support/runner.ts'
import { type Site, startSite } from '../support/site.ts'
import { waitUntil } from '../support/wait-until.ts'
import { type CrashCase, type Kind, kindOf } from './crash-case.ts'

export const names = ['web1', 'web2', 'web3'] as const

/** Path → mode and content, as the workspace had it. */
export type Content = Readonly<Record<string, string>>

/** An uninterrupted run. */
interface Measured {
  readonly ms: number
  readonly lines: number
}

export interface Killed {
  /** The moment as it came: milliseconds from the start, and lines of the log. */
  readonly ms: number
  readonly lines: number
  readonly log: string
}

export interface CrashSite {
  readonly site: Site
  /** What was packed into a release, by its id. */
  packed(release: string): Content | undefined
  /** Starts the deployment of a case, and ends its process at the case's moment; null: it had ended before, with success. */
  kill(c: CrashCase): Promise<Killed | null>
}

/**
 * Ends the application by what the process is, not by a number it left in a file: a script that is killed between start and note, as
 * happens here, would otherwise leave an application behind that nobody finds. A service manager does the same by its control group.
 */
const stop = `#!/bin/sh
set -eu
${lives}
mine() {
  for p in $(grep -lzxF "HOME=$HOME" /proc/[0-9]*/environ 2>/dev/null | tr -dc '0-9\\n'); do
    if grep -q 'app-server.mjs' "/proc/$p/cmdline" 2>/dev/null; then echo "$p"; fi
  done
}
while pids=$(mine) && [ -n "$pids" ]; do
  kill -KILL $pids 2>/dev/null || true
  for p in $pids; do while lives "$p"; do sleep 0.02; done; done
done
`

export const contentOf = (directory: string): Content =>
  Object.fromEntries(
    filesBelow(directory).map(path => {
      const found = statSync(join(directory, path))
      const mode = (found.mode & 0o777).toString(8)
      return [path, found.isDirectory() ? mode : `${mode} ${readFileSync(join(directory, path), 'latin1')}`]
    }),
  )

const linesOf = (run: RunningAction): number => run.stdout().split('\n').length - 1

export async function startCrashSite(): Promise<CrashSite> {
  const site = await startSite({ servers: [...names], startMs: 5 })
  const contents = new Map<string, Content>()
  let version = 0
  const change = () => {
    version += 1
    site.change({ version: `${version}` })
    writeFileSync(join(site.workspace, 'app/stop'), stop, { mode: 0o755 })
    const commit = site.commit('stops for good')
    contents.set(commit.slice(0, 12), contentOf(join(site.workspace, 'app')))
  }
  const manifest = (migrate: boolean) =>
    site.manifest({
      prepare: 'sleep 0.1; echo "$DEPLOY_RELEASE" >.prepared',
      ...(migrate ? { migrate: 'echo "$DEPLOY_RELEASE" >>"$HOME/migrations"; sleep 0.4; echo migrated' } : {}),
      finalize: 'sleep 0.1',
      cleanup: 'sleep 0.1',
    })
  const begin = (c: Pick<CrashCase, 'migrate' | 'strategy'>) => {
    manifest(c.migrate)
    return site.start({ strategy: c.strategy }, { post: false })
  }
  async function measure(kind: Kind): Promise<Measured> {
    change()
    const run = begin({ migrate: kind === 'serial, migration', strategy: kind === 'parallel' ? 'parallel' : 'serial' })
    const ended = await run.ended
    if (ended.code !== 0) throw new Error(`an uninterrupted run (${kind}) failed:\n${ended.log}`)
    return { ms: ended.seconds * 1000, lines: linesOf(run) }
  }

  change()
  manifest(false)
  await site.seed()
  const measured = {
    serial: await measure('serial'),
    'serial, migration': await measure('serial, migration'),
    parallel: await measure('parallel'),
  } satisfies Record<Kind, Measured>

  return {
    site,
    packed: release => contents.get(release.slice(0, 12)),
    async kill(c) {
      if (!c.again) change()
      if (c.operators !== null) await site.haproxy.command(`set server app/${c.operators} state maint`)
      const whole = measured[kindOf(c)]
      const began = performance.now()
      const run = begin(c)
      const goes = { on: true }
      const over = run.ended.then(() => {
        goes.on = false
      })
      if (c.moment.by === 'time') await Promise.race([sleep(c.moment.share * whole.ms), over])
      else {
        const lines = Math.max(1, Math.round(c.moment.share * whole.lines))
        while (goes.on && linesOf(run) < lines) await sleep(3)
        await Promise.race([sleep(c.moment.later), over])
      }
      const moment = { ms: Math.round(performance.now() - began), lines: linesOf(run) }
      run.kill('SIGKILL')
      const { log, code, signal } = await run.ended
      if (signal === 'SIGKILL') return { ...moment, log }
      if (code !== 0) throw new Error(`a run that nobody killed failed:\n${log}`)
      return null
    },
  }
}

/** All servers serve, and no operator's maintenance is left from the case before. */
export async function beginAnew({ site }: CrashSite): Promise<void> {
  for (const name of names)
    if ((await site.rotation(name)) === 'maint') await site.haproxy.command(`set server app/${name} state ready`)
  await waitUntil('every server serves before the case', async () =>
    (await Promise.all(names.map(site.rotation))).every(state => state === 'serving'),
  )
}

/**
 * What a minute does to locks whose owner is gone: their leases are over. A script that was sent before the kill may still take or renew
 * one, as it may in that minute: they are looked at until none changes.
 */
export async function leasesRunOut({ site }: CrashSite): Promise<void> {
  const quiet = 400
  let since = performance.now()
  while (performance.now() - since < quiet) {
    for (const lock of site.servers.map(server => join(server.root, '.deploy-action/lock')))
      for (const entry of entriesOf(lock).filter(e => e.startsWith('held.') && !e.endsWith('.1'))) {
        try {
          renameSync(join(lock, entry), join(lock, entry.replace(/\.\d+$/, '.1')))
        } catch {
          // its script renamed it first; it is looked at again
        }
        since = performance.now()
      }
    await sleep(50)
  }
}

/** None where no lock was ever taken. */
function entriesOf(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}
