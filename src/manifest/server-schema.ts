/** The keys of a server and of `ssh`. */
import { z } from 'zod'
import { variables } from './step-schema.ts'
import { duration, integer, key, names, oneOrMany, orJust, text, timeLimit } from './values.ts'

const strict = z.strictObject

export const sshKeys = {
  user: key(text().optional(), { description: 'The user to log in as.', example: 'deploy' }),
  port: key(integer(1, 65535).optional(), { description: 'The SSH port; default 22.' }),
  bastion: key(text().optional(), {
    description: 'user@host:port to go through; several: a,b; `none`: no bastion although `ssh` names one.',
    example: 'jump@bastion.example.com',
  }),
  connect_timeout: key(timeLimit().optional(), {
    description: 'For the TCP connection and, again, for the handshake; default 10s.',
  }),
  keepalive: key(duration().optional(), {
    description: 'Between two signs of life on an idle connection; default 15s.',
  }),
}

/** A server as written: a host, or an object. Ranges are expanded later. */
export const serverEntry = () =>
  orJust(
    'host',
    strict({
      name: key(text().optional(), {
        description: 'Shown everywhere; default: the host. A range makes several: web[01-20].',
        example: 'web[01-20]',
      }),
      host: key(text(), {
        description: '[user@]host[:port]; a range makes several: 10.0.0.[11-30].',
        example: '10.0.0.[11-30]',
      }),
      roles: key(names(), { description: 'What the server is for.', example: ['web'] }),
      id: key(text().optional(), {
        description: 'What a cloud balancer calls it, where that is not its address.',
        example: 'i-0abc',
      }),
      host_key: key(names(), {
        description: 'Its public host key or keys, instead of a known_hosts line.',
        example: 'ssh-ed25519 AAAA…',
      }),
      env: key(variables(['deployment', 'release', 'env', 'server']).prefault({}), {
        description: 'Variables for every script on this server.',
        example: { PORT: '3000' },
      }),
      ...sshKeys,
    }),
  ).meta({ part: 'server' })
export const serverList = () => oneOrMany(serverEntry())
