/** A site that outlives many interrupted runs: what was packed into which release is kept, and every case begins with all servers serving. */
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { lives } from '../support/app.ts'
import { filesBelow } from '../support/files-below.ts'
import type { ActionResult, RunningAction } from '../support/runner.ts'
import { type Site, startSite } from '../support/site.ts'
import { waitUntil } from '../support/wait-until.ts'
import { type CrashCase, inWords, type Kind, kindOf, sooner } from './crash-case.ts'

export const names = ['web1', 'web2', 'web3'] as const

/** Path → mode and content, as the workspace had it. */
export type Content = Readonly<Record<string, string>>

/** An uninterrupted run. */
interface Measured {
  readonly ms: number
  readonly lines: number
}

export interface Interrupted<C extends CrashCase> {
  /** The case as it came. */
  readonly c: C
  /** Its moment: milliseconds from the start, and lines of the log. */
  readonly ms: number
  readonly lines: number
  /** What was left of the run. */
  readonly main: ActionResult
}

/** Stands in for the runner, or for what befalls it: resolves when main has ended. */
export type Interrupt = (run: RunningAction) => Promise<ActionResult>

export interface CrashSiteOptions {
  /** Seconds that a migration takes; default 0.4. */
  readonly migration?: number
  /** What goes on while runs are measured, as it does in the cases. */
  readonly meanwhile?: (site: Site) => Promise<{ stop(): Promise<unknown> }>
}

export interface CrashSite {
  readonly site: Site
  /** What was packed into a release, by its id. */
  packed(release: string): Content | undefined
  /** Measures an uninterrupted run as the case's, unless there was one before. */
  measure(c: CrashCase): Promise<void>
  /**
   * Begins with all servers serving, starts the case's deployment without post, and interrupts it at the case's moment. One that ended
   * with success all the same is made again, with an earlier moment.
   */
  interrupt<C extends CrashCase>(c: C, how: Interrupt): Promise<Interrupted<C>>
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

export async function startCrashSite(options: CrashSiteOptions = {}): Promise<CrashSite> {
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
      ...(migrate
        ? { migrate: `echo "$DEPLOY_RELEASE" >>"$HOME/migrations"; sleep ${options.migration ?? 0.4}; echo migrated` }
        : {}),
      finalize: 'sleep 0.1',
      rollout: { hold: '1s' },
      cleanup: 'sleep 0.1',
    })
  const begin = (c: Pick<CrashCase, 'migrate' | 'strategy'>) => {
    manifest(c.migrate)
    return site.start({ strategy: c.strategy }, { post: false })
  }
  const measured = new Map<Kind, Measured>()
  async function measure(c: CrashCase): Promise<Measured> {
    const kind = kindOf(c)
    const before = measured.get(kind)
    if (before !== undefined) return before
    await beginAnew(site)
    change()
    const other = await options.meanwhile?.(site)
    const run = begin(c)
    const ended = await run.ended.finally(() => other?.stop())
    if (ended.code !== 0) throw new Error(`an uninterrupted run (${kind}) failed:\n${ended.log}`)
    const whole = { ms: ended.seconds * 1000, lines: linesOf(run) }
    measured.set(kind, whole)
    return whole
  }
  /** null: it had ended before, with success. */
  async function once<C extends CrashCase>(c: C, how: Interrupt): Promise<Interrupted<C> | null> {
    const whole = await measure(c)
    await beginAnew(site)
    if (!c.again) change()
    if (c.operators !== null) await site.haproxy.command(`set server app/${c.operators} state maint`)
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
    const overBefore = !goes.on
    const moment = { ms: Math.round(performance.now() - began), lines: linesOf(run) }
    const main = await how(run)
    if (main.signal === null && main.code === 0) return null
    if (overBefore) throw new Error(`a run that nobody interrupted failed:\n${main.log}`)
    return { c, ...moment, main }
  }

  change()
  manifest(false)
  await site.seed()

  return {
    site,
    packed: release => contents.get(release.slice(0, 12)),
    async measure(c) {
      await measure(c)
    },
    async interrupt(c, how) {
      for (let now = c; now.moment.share > c.moment.share / 10; now = sooner(now)) {
        const interrupted = await once(now, how)
        if (interrupted !== null) return interrupted
      }
      throw new Error(`${inWords(c)}: the run ends before any moment`)
    },
  }
}

/** All servers serve, and no operator's maintenance is left from the case before. */
async function beginAnew(site: Site): Promise<void> {
  for (const name of names)
    if ((await site.rotation(name)) === 'maint') await site.haproxy.command(`set server app/${name} state ready`)
  await waitUntil('every server serves before the case', async () =>
    (await Promise.all(names.map(site.rotation))).every(state => state === 'serving'),
  )
}
