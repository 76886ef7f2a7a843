/**
 * Deploys a small web application to three embedded servers behind an embedded balancer with the real bundle, while clients keep
 * asking: first in serial, because the change has a migration, then in parallel. Prints what was served and what failed.
 */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from '../test/support/free-port.ts'
import { startLoad } from '../test/support/load.ts'
import { type ActionResult, runAction } from '../test/support/runner.ts'
import { waitUntil } from '../test/support/wait-until.ts'
import { startBalancer } from './balancer.ts'
import { newKeyPair, ownDirectory, type SshServer, startSshServer } from './ssh-server.ts'
import { summaryPage } from './summary-page.ts'
import { appPort, makeWorkspace, manifestOf, pageSaying } from './workspace.ts'

const project = dirname(dirname(fileURLToPath(import.meta.url)))
const results = join(project, 'demo-out')
const say = (text: string) => process.stdout.write(`${text}\n`)

const scratch = mkdtempSync(join(tmpdir(), 'deploy-demo-'))
const closing: (() => Promise<void> | void)[] = [() => rmSync(scratch, { recursive: true, force: true })]
const close = async () => {
  for (const each of closing.splice(0).reverse()) await each()
}
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void close().finally(() => process.exit(130)))

interface Place {
  readonly servers: readonly SshServer[]
  readonly url: string
  deploy(inputs?: Readonly<Record<string, string>>): Promise<ActionResult>
  commit(message: string, changes: Readonly<Record<string, string>>): void
  serving(): boolean
}

async function startPlace(): Promise<Place> {
  const client = newKeyPair()
  const database = join(scratch, 'database')
  const members: { name: string; port: number }[] = []
  const servers: SshServer[] = []
  for (const name of ['web1', 'web2', 'web3']) {
    const port = await freePort()
    const server = await startSshServer({
      name,
      authorizedKeys: [client.publicKey],
      env: { PORT: String(port), DATABASE: database },
      ports: new Map([[appPort, port]]),
    })
    closing.push(() => server.stop())
    servers.push(server)
    members.push({ name, port })
  }
  const balancer = await startBalancer(members)
  closing.push(() => balancer.stop())
  const root = join(scratch, 'srv')
  symlinkSync(ownDirectory, root)
  const workspace = makeWorkspace(join(scratch, 'workspace'), manifestOf(servers, root))
  const temp = join(scratch, 'temp')
  mkdirSync(temp)
  let head = workspace.commit('The site', {})
  return {
    servers,
    url: `http://127.0.0.1:${balancer.port}/`,
    deploy: (inputs = {}) =>
      runAction({
        workspace: workspace.path,
        temp,
        inputs: {
          'ssh-key': client.privateKey,
          'ssh-known-hosts': servers.map(server => server.knownHosts).join(''),
          ...inputs,
        },
        env: {
          GITHUB_SHA: head,
          BALANCERCTL: join(project, 'demo', 'balancerctl.mjs'),
          BALANCER_CONTROL: `http://127.0.0.1:${balancer.controlPort}`,
        },
      }),
    commit: (message, changes) => {
      head = workspace.commit(message, changes)
    },
    serving: () => members.every(m => balancer.member(m.name)?.healthy === true),
  }
}

const seconds = (n: number) => `${n.toFixed(1)} s`

/** One deployment under load. Gives back whether it succeeded without a failed request. */
async function show(place: Place, title: string, file: string): Promise<boolean> {
  say(`\n${title}`)
  const load = await startLoad(place.url)
  await load.more(50)
  const ran = await place.deploy()
  await load.more(50)
  const { served, failed, problems, byRelease } = await load.stop()
  const page = join(results, `${file}.html`)
  writeFileSync(join(results, `${file}.md`), ran.summary)
  writeFileSync(join(results, `${file}.log`), ran.log)
  writeFileSync(page, summaryPage(title, ran.summary))
  const { outputs } = ran
  say(`  result     ${outputs['result'] ?? 'none'} in ${seconds(ran.seconds)}`)
  say(
    `  strategy   ${outputs['strategy'] ?? '?'}, migrations ${outputs['migrate'] === 'true' ? 'enabled' : 'not enabled'}`,
  )
  say(`  release    ${outputs['release'] ?? '?'}`)
  say(`  requests   ${served} served, ${failed} failed`)
  for (const [problem, times] of Object.entries(problems)) say(`             ${times} × ${problem}`)
  for (const [release, times] of Object.entries(byRelease)) say(`             ${times} answered by ${release}`)
  say(`  summary    ${relative(process.cwd(), page)}`)
  if (ran.code !== 0) say(`\n${ran.log}`)
  return ran.code === 0 && failed === 0
}

async function main(): Promise<boolean> {
  rmSync(results, { recursive: true, force: true })
  mkdirSync(results, { recursive: true })
  const place = await startPlace()
  say(`Three servers and a balancer on the loopback interface: ${place.url}`)
  say('First the servers get something to serve: one deployment in parallel, before there are users.')
  const first = await place.deploy({ migrate: 'false' })
  if (first.code !== 0) {
    say(first.log)
    return false
  }
  await waitUntil('every server is in service', place.serving)

  place.commit('Count visitors', {
    'db/migrate/002-visitors.sql': 'ALTER TABLE visits ADD COLUMN visitor text;\n',
    'page.html': pageSaying('with visitors'),
  })
  const serial = await show(
    place,
    '1. In serial: the manifest asks for parallel, but this change has a migration. Each server is out of rotation while it restarts; half a minute.',
    '1-serial',
  )

  place.commit('Another headline', { 'page.html': pageSaying('with another headline') })
  const parallel = await show(
    place,
    '2. In parallel: all servers at once, none leaves the rotation; a supervisor keeps the socket while workers are replaced.',
    '2-parallel',
  )
  return serial && parallel
}

let good = false
try {
  good = await main()
} finally {
  await close()
}
process.exitCode = good ? 0 : 1
