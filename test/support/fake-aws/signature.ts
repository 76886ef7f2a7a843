/** FAKE of AWS's front door: checks a request's signature as AWS does (Signature Version 4, by node:crypto alone), and says what is wrong. */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'

export interface User {
  readonly secret: string
  readonly token?: string
  /** What its policy allows; default everything. */
  readonly may?: (action: string) => boolean
}

export interface SignedRequest {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

export interface Refusal {
  readonly status: number
  readonly code: string
  readonly message: string
}

const sha256 = (data: string | Buffer) => createHash('sha256').update(data).digest('hex')
const hmac = (key: string | Buffer, data: string) => createHmac('sha256', key).update(data).digest()

const authorization =
  /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([a-z0-9-]+)\/([a-z]+)\/aws4_request, ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})$/

const refuse = (status: number, code: string, message: string): Refusal => ({ status, code, message })

/** The user, or what AWS would answer. */
export function signerOf(
  request: SignedRequest,
  users: Readonly<Record<string, User>>,
  region: string,
): User | Refusal {
  const { headers } = request
  const text = (name: string) => String(headers[name] ?? '')
  const [, key = '', day, where, service, names = '', signature = ''] = authorization.exec(text('authorization')) ?? []
  if (key === '') return refuse(403, 'MissingAuthenticationToken', 'Missing Authentication Token')
  const user = users[key]
  if (!user) return refuse(403, 'InvalidClientTokenId', 'The security token included in the request is invalid.')
  const date = text('x-amz-date')
  const time = Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))
  if (!(Math.abs(Date.now() - time) < 15 * 60_000)) return refuse(403, 'RequestExpired', 'Request has expired.')
  if (day !== date.slice(0, 8) || where !== region || service !== 'elasticloadbalancing')
    return refuse(403, 'SignatureDoesNotMatch', `Credential should be scoped to a valid region and service.`)
  const signed = names.split(';')
  const needed = [
    'host',
    'x-amz-date',
    ...(headers['x-amz-security-token'] === undefined ? [] : ['x-amz-security-token']),
  ]
  const unsigned = needed.filter(name => !signed.includes(name))
  if (unsigned.length > 0) return refuse(403, 'IncompleteSignature', `not signed: ${unsigned.join(', ')}`)
  if ((user.token ?? '') !== text('x-amz-security-token'))
    return refuse(403, 'ExpiredToken', 'The security token included in the request is expired')
  const [path = '/', query = ''] = request.url.split('?')
  const canonical = [
    request.method,
    path,
    query,
    ...signed.map(name => `${name}:${text(name).trim().replace(/\s+/g, ' ')}`),
    '',
    names,
    sha256(request.body),
  ].join('\n')
  const toSign = ['AWS4-HMAC-SHA256', date, `${day}/${where}/${service}/aws4_request`, sha256(canonical)].join('\n')
  const keys = [day, where, service, 'aws4_request'].reduce<string | Buffer>(
    (k, part) => hmac(k, part),
    `AWS4${user.secret}`,
  )
  const right = hmac(keys, toSign)
  if (timingSafeEqual(right, Buffer.from(signature, 'hex'))) return user
  // AWS quotes the whole request, headers included: nobody may show that.
  return refuse(
    403,
    'SignatureDoesNotMatch',
    `The request signature we calculated does not match the signature you provided. The Canonical String for this request should have been '${canonical}'`,
  )
}
