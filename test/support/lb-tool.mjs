/**
 * A balancer's own command-line tool, as the provider `command` is made for: lb-tool.mjs <socket> <backend> drain|enable|connections|state
 * <server>. It is HAProxy behind it.
 */
import { connect } from 'node:net'

const [path, backend, what, server] = process.argv.slice(2)

const ask = text =>
  new Promise((resolve, reject) => {
    const socket = connect(path)
    let answer = ''
    socket.setEncoding('utf8')
    socket.on('data', data => {
      answer += data
    })
    socket.once('error', reject)
    socket.once('end', () => resolve(answer))
    socket.write(`${text}\n`)
  })

async function row() {
  const [head, ...rows] = (await ask('show stat')).trim().replace('# ', '').split('\n')
  const columns = head.split(',')
  const found = rows.map(r => r.split(',')).find(r => r[0] === backend && r[1] === server)
  if (!found) throw new Error(`no server ${server}`)
  return Object.fromEntries(columns.map((column, i) => [column, found[i]]))
}

async function set(state) {
  const answer = (await ask(`set server ${backend}/${server} state ${state}`)).trim()
  if (answer !== '') throw new Error(answer)
}

if (what === 'drain') await set('drain')
else if (what === 'enable') await set('ready')
else if (what === 'connections') console.log(Number((await row()).scur) + Number((await row()).qcur))
else if (what === 'state') console.log((await row()).status === 'UP' ? 'up' : 'not up')
else throw new Error(`unknown: ${what}`)
