/**
 * The application of the tests: a real HTTP server that takes a second to come up. What it answers says which release on which server
 * it is. A file `behaviour` beside it tells it to misbehave: words, each for all servers or as `web2:word` for one:
 *   up-fails (503 at /up) · all-fails (500 everywhere) · never-up (never listens) · exits-at-start
 * /slow?ms=MS is answered after so long, /held?until=FILE when that file is there.
 * With HEALTH_FILE in its environment it is well at /up only while that file is there.
 */
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'

const name = process.env.DEPLOY_SERVER ?? 'unknown'
const release = process.env.DEPLOY_RELEASE ?? 'none'
const words = (() => {
  try {
    return readFileSync(new URL('behaviour', import.meta.url), 'utf8').split(/\s+/)
  } catch {
    return []
  }
})()
const unwell = () => process.env.HEALTH_FILE !== undefined && !existsSync(process.env.HEALTH_FILE)
const told = word => words.includes(word) || words.includes(`${name}:${word}`)

if (told('exits-at-start')) process.exit(3)
let inFlight = 0
let served = 0

const server = createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://app')
  const answer = (status, body) => {
    response.writeHead(status, { 'x-release': release, 'x-server': name, 'content-type': 'text/plain' })
    response.end(body)
  }
  if (url.pathname === '/up')
    return told('up-fails') || told('all-fails') || unwell() ? answer(503, 'not well') : answer(200, 'ok')
  if (url.pathname === '/stats')
    return answer(200, JSON.stringify({ release, name, pid: process.pid, inFlight, served }))
  inFlight++
  // a request that its client gave up still ends here
  response.once('close', () => {
    inFlight--
    served++
  })
  const end = () => (told('all-fails') ? answer(500, 'broken') : answer(200, `${release} on ${name}\n`))
  if (url.pathname === '/held') {
    const look = setInterval(() => {
      if (!existsSync(url.searchParams.get('until') ?? '')) return
      clearInterval(look)
      end()
    }, 50)
    response.once('close', () => clearInterval(look))
    return
  }
  setTimeout(end, url.pathname === '/slow' ? Number(url.searchParams.get('ms') ?? 1000) : 3)
})
// longer than HAProxy keeps idle connections, so that the server is never the one who closes first
server.keepAliveTimeout = 120_000

const startUp = Number(process.env.START_MS ?? 1000)
if (told('never-up')) setInterval(() => undefined, 60_000)
else setTimeout(() => server.listen(Number(process.env.PORT), '127.0.0.1'), startUp)
