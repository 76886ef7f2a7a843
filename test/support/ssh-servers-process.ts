/**
 * SSH servers in a process of their own, or fifty of them: each process has its share of a busy machine, and none waits for what the test
 * or the others do. Ended by the end of its channel.
 */
import { type SshServerOptions, startSshServer } from '../../demo/ssh-server.ts'

process.once('message', async (orders: { readonly servers: readonly SshServerOptions[] }) => {
  const servers = await Promise.all(orders.servers.map(startSshServer))
  const stop = () => Promise.all(servers.map(s => s.stop())).finally(() => process.exit())
  process.once('disconnect', () => void stop())
  process.send?.({ servers: servers.map(({ stop: _, ...facts }) => facts) })
})
