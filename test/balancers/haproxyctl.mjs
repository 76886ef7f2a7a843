// What a person's scripts for the provider `command` might call: node haproxyctl.mjs <socket> remove|drained|add|serving <backend>/<server>
import { connect } from 'node:net'

const [path, what, name] = process.argv.slice(2)
const [backend, server] = name.split('/')

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

const stat = async () => {
  const [head, ...rows] = (await ask(`show stat ${backend} 4 -1`)).trim().split('\n')
  const columns = head.split(',')
  const row = rows.map(r => r.split(',')).find(r => r[1] === server)
  if (!row) throw new Error(`no server ${name}`)
  return Object.fromEntries(columns.map((column, i) => [column, row[i]]))
}

const set = async state => {
  const answer = (await ask(`set server ${name} state ${state}`)).trim()
  if (answer !== '') throw new Error(answer)
}

const actions = {
  remove: async () => ((await stat()).status === 'MAINT' ? undefined : set('drain')),
  add: () => set('ready'),
  drained: async () => {
    const row = await stat()
    process.exitCode = /^(DRAIN|MAINT)/.test(row.status) && row.scur === '0' && row.qcur === '0' ? 0 : 1
  },
  serving: async () => {
    process.exitCode = (await stat()).status === 'UP' ? 0 : 1
  },
}
await actions[what]()
