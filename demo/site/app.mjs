/**
 * The application of the demo: one worker of a release. It takes half a second to come up. Told to retire it takes no new connection,
 * answers what comes over the open ones with `Connection: close`, and ends when the last one is gone.
 */
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { Server as TcpServer } from 'node:net'
import { basename } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const release = basename(import.meta.dirname)
const page = readFileSync(new URL('page.html', import.meta.url), 'utf8')
const schema = () => {
  const file = process.env.DATABASE ?? ''
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').length : 0
}
let retiring = false

const server = createServer((request, response) => {
  if (retiring) response.setHeader('connection', 'close')
  response.setHeader('x-release', release)
  if (request.url === '/up') return response.end('ok')
  setTimeout(() => response.end(page.replace('%RELEASE%', release).replace('%SCHEMA%', String(schema()))), 5)
})

await sleep(500)
server.listen(Number(process.env.PORT), '127.0.0.1')

process.on('message', message => {
  if (message !== 'retire') return
  retiring = true
  // Not http's own close(): that one also cuts idle connections, on which the balancer may be about to send.
  TcpServer.prototype.close.call(server, () => process.exit(0))
  // A balancer lets go of an idle connection after one second (demo/balancer.ts); what is idle longer is nobody's.
  setTimeout(() => server.closeIdleConnections(), 3_000)
})
