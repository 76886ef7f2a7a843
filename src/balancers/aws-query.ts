/**
 * AWS's query protocol: one call is one signed POST, its answer is XML. Nothing is tried again, no redirect is followed, and no secret is
 * in any text. docs/decisions/0007-aws-client.md says why aws4fetch signs.
 */
import { AwsClient } from 'aws4fetch'
import { BalancerError, messageOf } from '../errors.ts'
import { type Credentials, credentialsOf } from './aws-credentials.ts'
import { type AwsAnswer, awsRefused } from './aws-errors.ts'
import { baseUrl, networkText, TooLong, textOf } from './rest-api.ts'
import { shortened } from './rest-errors.ts'
import { childOf, parseXml, type XmlElement } from './xml.ts'

/** Parameters as the API's description names them; a list is numbered `Name.member.1`. */
export type Params = Readonly<
  Record<string, string | number | readonly (string | Readonly<Record<string, string | number>>)[]>
>

export interface AwsQuery {
  /** What `read` makes of the element `<action>Result`. `doing`: as it stands after "cannot". Throws BalancerError, or the signal's reason. */
  call<T>(
    action: string,
    params: Params,
    facts: { readonly doing: string; readonly read: (result: XmlElement) => T },
    signal: AbortSignal,
  ): Promise<T>
}

export interface AwsFacts {
  /** The balancer's name in the manifest; begins every message. */
  readonly name: string
  readonly env: Readonly<Record<string, string>>
  readonly region: string
  /** Of the API. */
  readonly version: string
  /** The service's own variable for its endpoint: AWS_ENDPOINT_URL_…, which comes before AWS_ENDPOINT_URL. */
  readonly endpointVariable: string
}

const callMs = 10_000
const maxBytes = 8 * 1024 * 1024

/** Opens nothing and checks nothing yet: missing credentials are an error of the first call. */
export function awsQuery(facts: AwsFacts): AwsQuery {
  const { name, env, region, version } = facts
  return {
    async call(action, params, { doing, read }, signal) {
      signal.throwIfAborted()
      const credentials = credentialsOf(name, env)
      const url = new URL(endpoint(facts))
      if (url.pathname === '') url.pathname = '/'
      const where = `${name}: AWS (${url.host})`
      const tidy = (text: string) => withoutSecrets(text, credentials)
      const fail = (what: string, hint: string): never => {
        throw new BalancerError(tidy(`${where} cannot ${doing}: ${what}`), { hint })
      }
      const limit = AbortSignal.timeout(callMs)
      let got: AwsAnswer
      try {
        const client = new AwsClient({ ...credentials, service: 'elasticloadbalancing', region, retries: 0 })
        const response = await client.fetch(url, {
          method: 'POST',
          headers: {
            accept: 'application/xml',
            'user-agent': 'deploy-action',
            'content-type': 'application/x-www-form-urlencoded; charset=utf-8',
          },
          body: form({ Action: action, Version: version, ...params }),
          redirect: 'manual',
          signal: AbortSignal.any([signal, limit]),
        })
        got = { status: response.status, headers: response.headers, text: await textOf(response, maxBytes) }
      } catch (error) {
        if (signal.aborted) throw signal.reason
        if (error instanceof TooLong) return fail(error.message, 'this is no answer of that API')
        if (limit.aborted)
          return fail(
            `no answer within ${callMs / 1000} s`,
            'look at the state of AWS in that region, and at the network',
          )
        return fail(networkText(error), `can the runner reach ${url.host}? Is ${region} the right region?`)
      }
      if (got.status !== 200) throw awsRefused(got, { where, action, doing, tidy })
      try {
        const root = parseXml(got.text)
        const result = root.name === `${action}Response` ? childOf(root, `${action}Result`) : undefined
        if (!result) throw new SyntaxError(`${root.name} is not the answer to ${action}`)
        return read(result)
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error
        return fail(
          `its answer has another form than published: ${messageOf(error)}: ${shortened(got.text)}`,
          `is ${url.origin} an endpoint of that API?`,
        )
      }
    },
  }
}

/** The body of a call. */
function form(params: Params): string {
  const flat = new URLSearchParams()
  for (const [key, value] of Object.entries(params)) {
    if (typeof value !== 'object') flat.append(key, String(value))
    else
      for (const [i, item] of value.entries()) {
        const at = `${key}.member.${i + 1}`
        if (typeof item === 'string') flat.append(at, item)
        else for (const [part, text] of Object.entries(item)) flat.append(`${at}.${part}`, String(text))
      }
  }
  return flat.toString()
}

/** DNS names of AWS's partitions other than the usual ones, by how their regions begin (botocore, partitions.json). */
const domains: readonly (readonly [start: string, domain: string])[] = [
  ['cn-', 'amazonaws.com.cn'],
  ['eusc-', 'amazonaws.eu'],
  ['us-isob-', 'sc2s.sgov.gov'],
  ['us-isof-', 'csp.hci.ic.gov'],
  ['us-iso-', 'c2s.ic.gov'],
  ['eu-isoe-', 'cloud.adc-e.uk'],
]

function endpoint({ name, env, region, endpointVariable }: AwsFacts): string {
  const variable = [endpointVariable, 'AWS_ENDPOINT_URL'].find(v => (env[v] ?? '').trim() !== '') ?? endpointVariable
  const domain = domains.find(([start]) => region.startsWith(start))?.[1] ?? 'amazonaws.com'
  return baseUrl({ name, env, base: { variable, usual: `https://elasticloadbalancing.${region}.${domain}` } })
}

/** An answer to a wrong signature quotes the request's headers, the session token among them. */
const withoutSecrets = (text: string, { secretAccessKey, sessionToken }: Credentials): string =>
  [secretAccessKey, sessionToken].reduce<string>((t, secret) => (secret ? t.replaceAll(secret, '***') : t), text)
