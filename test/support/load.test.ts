import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { writeApp } from './app.ts'
import { freePort } from './free-port.ts'
import { startLoad } from './load.ts'
import { end } from './processes.ts'
import { waitUntil } from './wait-until.ts'

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function startApp(behaviour = ''): Promise<{ url: string; stop: () => Promise<void> }> {
  const directory = mkdtempSync(join(tmpdir(), 'app-'))
  writeApp(directory, { behaviour })
  const port = await freePort()
  const env = { PORT: String(port), DEPLOY_SERVER: 'web1', DEPLOY_RELEASE: 'r1', START_MS: '100' }
  const child = spawn(process.execPath, [join(directory, 'app-server.mjs')], { env, stdio: 'ignore' })
  const stop = () => end([child.pid ?? 0])
  closers.push(() => rmSync(directory, { recursive: true }), stop)
  const url = `http://127.0.0.1:${port}/`
  await waitUntil('the application answers', () =>
    fetch(`${url}up`).then(
      () => true,
      () => false,
    ),
  )
  return { url, stop }
}

describe('the load generator', () => {
  it('counts what was served, by server and release', async () => {
    const app = await startApp()
    const load = await startLoad(app.url)
    await load.more(100)
    const report = await load.stop()
    expect(report.failed).toBe(0)
    expect(report.served).toBeGreaterThanOrEqual(100)
    expect(report.byServer).toEqual({ web1: report.served })
    expect(report.byRelease).toEqual({ r1: report.served })
    expect(report.timeline).toHaveLength(report.served)
  })

  it('counts connections cut off and refused as failed', async () => {
    const app = await startApp()
    const load = await startLoad(`${app.url}slow?ms=5000`)
    await waitUntil('requests are in flight', async () => {
      const stats = (await (await fetch(`${app.url}stats`)).json()) as { inFlight: number }
      return stats.inFlight === 12
    })
    await app.stop()
    await load.more(20)
    const report = await load.stop()
    expect(report.problems['ECONNREFUSED']).toBeGreaterThan(0)
    expect(report.problems['ECONNRESET']).toBe(12)
    expect(report.failed).toBeGreaterThanOrEqual(20)
  })

  it('counts errors of the server and answers that come too late as failed', async () => {
    const app = await startApp('web1:all-fails')
    const load = await startLoad(app.url)
    await load.more(10)
    expect((await load.stop()).problems).toEqual({ 'status 500': expect.any(Number) })
    const late = await startLoad(`${app.url}slow?ms=5000`, { timeoutMs: 100, clients: 2 })
    await late.more(2)
    expect((await late.stop()).problems).toEqual({ timeout: expect.any(Number) })
  })
})
