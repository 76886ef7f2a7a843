/** The keys of a check (`verify`). */
import { z } from 'zod'
import { perServer } from './lookup-names.ts'
import { roleList } from './step-schema.ts'
import { always, bool, duration, integer, key, oneOrMany, text, timeLimit } from './values.ts'

const strict = z.strictObject

const statusRange = () =>
  z
    .string({ error: 'a status or a range is expected: 200 or 200-299' })
    .regex(/^[1-5]\d\d(-[1-5]\d\d)?$/, 'a status or a range is expected: 200 or 200-299')
    .transform(v => {
      const [from = '', to = from] = v.split('-')
      return { from: Number(from), to: Number(to) }
    })
    .refine(v => v.from <= v.to, 'the smaller status comes first: 200-299')
    .meta({
      written: {
        anyOf: [
          { type: 'integer', minimum: 100, maximum: 599 },
          { type: 'string', pattern: '^[1-5]\\d\\d(-[1-5]\\d\\d)?$' },
        ],
      },
      kind: 'status',
    })

const headerName = () => text().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, 'the name of a header is expected')
const headerValue = () =>
  z.string({ error: 'a text is expected' }).regex(/^[^\r\n\0]*$/, 'a text of one line is expected')

const http = () =>
  strict({
    port: key(integer(1, 65535).prefault('80'), {
      description: 'Port on the server, reached at 127.0.0.1 through the SSH connection.',
      example: 3000,
    }),
    path: key(
      text()
        .regex(/^\/(?:\$\{\{[^}]*\}\}|[^\s])*$/, 'a path that begins with "/", without spaces, is expected')
        .prefault('/'),
      {
        description: 'What is asked for.',
        example: '/up',
        lookups: perServer,
      },
    ),
    scheme: key(z.enum(['http', 'https']).prefault('http'), {
      description: 'http or https; a certificate is checked against `host`.',
    }),
    host: key(text().optional(), { description: 'The Host header; default: localhost.', lookups: perServer }),
    method: key(z.enum(['GET', 'HEAD']).prefault('GET'), { description: 'GET or HEAD.' }),
    headers: key(
      z.record(headerName(), key(headerValue(), { description: 'A header to send.', lookups: perServer })).prefault({}),
      {
        description: 'Further headers.',
      },
    ),
    follow_redirects: key(bool().prefault('false'), { description: 'Follow redirects, never to another host.' }),
    expect: key(
      strict({
        status: key(
          oneOrMany(statusRange()).transform(v => (v.length ? v : [{ from: 200, to: 299 }])),
          { description: 'Statuses or ranges; default 200-299.', example: ['200-299'] },
        ),
        header: key(
          z
            .record(
              headerName(),
              key(headerValue(), { description: 'The value a response header must have.', lookups: perServer }),
            )
            .prefault({}),
          { description: 'Headers the answer must carry.' },
        ),
        body: key(text().optional(), { description: 'Text the body must contain.', lookups: perServer }),
      }).prefault({}),
      { description: 'What counts as good.' },
    ),
  }).meta({ part: 'request' })

export const checkKeys = {
  http: key(http().optional(), { description: 'An HTTP request.' }),
  tcp: key(strict({ port: key(integer(1, 65535), { description: 'Port on the server.', example: 3000 }) }).optional(), {
    description: 'A connection that is accepted.',
  }),
  command: key(text().optional(), {
    description: 'A script on the server that exits 0. Never interpolated.',
    script: true,
  }),
  interval: key(timeLimit().prefault('1s'), { description: 'Between two tries.' }),
  request_timeout: key(timeLimit().prefault('5s'), { description: 'For one try.' }),
  timeout: key(timeLimit().prefault('30s'), { description: 'For the whole check.' }),
  healthy_for: key(duration().prefault('0s'), { description: 'The check must stay good this long.' }),
}
export const exactlyOne = (c: { http?: unknown; tcp?: unknown; command?: unknown }) =>
  typeof c !== 'object' || [c.http, c.tcp, c.command].filter(v => v !== undefined).length === 1
export const oneKind = 'a check has exactly one of http, tcp and command'
export const oneKindHint = 'for example: verify: {http: {port: 3000, path: /up}}; several checks are a list'

export const check = () =>
  strict({ roles: roleList('are checked'), ...checkKeys })
    .refine(exactlyOne, always(oneKind, oneKindHint))
    .meta({ part: 'check' })
