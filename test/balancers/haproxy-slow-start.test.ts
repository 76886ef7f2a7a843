import { describe, expect, it } from 'vitest'
import { bringBack } from '../../src/balancers/controller.ts'
import { haproxy } from '../../src/balancers/haproxy.ts'
import { systemClock } from '../../src/clock.ts'
import { plainConnection } from '../support/plain-connection.ts'
import { startSshd } from '../support/sshd.ts'
import { waitUntil } from '../support/wait-until.ts'
import { haproxySettings, server } from './fixtures.ts'
import { site } from './haproxy-fixture.ts'

const signal = new AbortController().signal

describe('a server with a slow start', () => {
  it('counts as warming until HAProxy gives it its whole share', async () => {
    const sshd = await startSshd({ name: 'lb1' })
    const here = await site({ defaultServer: 'check inter 200ms fall 2 rise 2 slowstart 3s' })
    try {
      const lb = server('lb1', { port: sshd.port })
      const balancer = haproxy(
        'edge',
        haproxySettings({ backends: ['web'], hosts: [lb], socket: here.haproxy.socket }),
        {
          connect: () => plainConnection(sshd),
          servers: [server('web1', { host: '127.0.0.1' })],
          resolve: text => text,
        },
      )
      const receipt = await balancer.receipt(server('web1'), signal)
      await balancer.remove(receipt, signal)
      await balancer.insist?.(receipt, signal)
      await waitUntil('web1 is out', async () => (await balancer.read(receipt, signal)).state === 'out')
      const seen: string[] = []
      const watched = {
        ...balancer,
        read: async (...args: Parameters<typeof balancer.read>) => {
          const rotation = await balancer.read(...args)
          if (seen.at(-1) !== rotation.state) seen.push(rotation.state)
          return rotation
        },
      }
      const settings = {
        waitAfterRemoving: 0,
        waitAfterAdding: 0,
        drainTimeout: 20,
        addTimeout: 30,
        onDrainTimeout: 'fail',
      } as const
      const back = await bringBack([{ balancer: watched, receipt, settings }], {
        clock: systemClock,
        signal,
        onProgress: () => {},
      })
      expect(back).toMatchObject({ result: 'serving' })
      expect(seen).toContain('warming')
      expect(seen.at(-1)).toBe('serving')
    } finally {
      await here.stop()
      await sshd.stop()
    }
  })
})
