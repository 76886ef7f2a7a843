/** Takes every place that HAProxy has at its admin socket, so that it refuses the next. */
import { connect, type Socket } from 'node:net'

const connected = (path: string): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(path)
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.removeListener('error', reject)
      socket.on('error', () => undefined)
      resolve(socket)
    })
  })

const end = (sockets: readonly Socket[]): void => {
  for (const socket of sockets) socket.destroy()
}

/** HAProxy serves so many at a time (`stats maxconn`); the kernel lets some more wait. */
const served = 10

/** Gives back what frees all of them. Needs `stats timeout` in the configuration: HAProxy ends who says nothing for 10 s. */
export async function fill(path: string): Promise<() => void> {
  const taken: Socket[] = []
  for (let i = 0; i < served; i++) {
    const socket = await connected(path)
    taken.push(socket)
    // A prompt is what only a served connection is given, and what keeps it.
    socket.write('prompt\n')
    await new Promise(resolve => socket.once('data', resolve))
  }
  for (;;) {
    const next = await connected(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'EAGAIN') return undefined
      throw error
    })
    if (next === undefined) return () => end(taken)
    taken.push(next)
  }
}
