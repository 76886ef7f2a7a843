/**
 * Holds the listening socket while releases come and go (node:cluster keeps it in this process). At SIGHUP it starts a worker from the
 * release that `current` points to now, and retires the one before when the new one listens: no request is refused in between.
 * At SIGTERM everything ends at once.
 */
import cluster from 'node:cluster'
import { realpathSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'

const [current, run] = process.argv.slice(2)

function startWorker() {
  const release = realpathSync(current)
  cluster.setupPrimary({ exec: join(release, 'app.mjs'), args: [] })
  const before = Object.values(cluster.workers ?? {})
  const worker = cluster.fork()
  worker.once('listening', () => {
    for (const old of before) old.send('retire', () => undefined)
    writeFileSync(join(run, 'serving'), `${basename(release)}\n`)
  })
}

process.on('SIGHUP', startWorker)
process.on('SIGTERM', () => {
  for (const worker of Object.values(cluster.workers ?? {})) worker.process.kill('SIGKILL')
  rmSync(join(run, 'pid'), { force: true })
  process.exit(0)
})
writeFileSync(join(run, 'pid'), `${process.pid}\n`)
startWorker()
