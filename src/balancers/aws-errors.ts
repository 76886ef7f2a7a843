/** What an answer of AWS that is no success means, and what a person can do about it. */
import { BalancerError, type ErrorFacts } from '../errors.ts'
import { retryAfterMs, shortened } from './rest-errors.ts'
import { childOf, parseXml, textAt } from './xml.ts'

export interface AwsAnswer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

interface Call {
  readonly where: string
  readonly action: string
  readonly doing: string
  /** Takes secrets out. */
  readonly tidy: (text: string) => string
}

/** A call that AWS refused. */
export class AwsError extends BalancerError {
  readonly code: string | undefined
  constructor(
    message: string,
    facts: ErrorFacts & { readonly retryAfterMs?: number | undefined; readonly code?: string | undefined },
  ) {
    super(message, facts)
    this.code = facts.code
  }
}

/** ELB tells throttling as HTTP 400 with one of these codes (botocore, the retry mode "standard"). */
const throttling =
  /^(Throttling|ThrottlingException|ThrottledException|RequestThrottled|RequestThrottledException|RequestLimitExceeded|TooManyRequestsException|BandwidthLimitExceeded|LimitExceededException|SlowDown|PriorRequestNotComplete)$/
const denied =
  /^(AccessDenied|AccessDeniedException|UnauthorizedOperation|AuthFailure|OptInRequired|OperationNotPermitted)$/
const badCredentials =
  /^(InvalidClientTokenId|UnrecognizedClientException|InvalidAccessKeyId|IncompleteSignature|MissingAuthenticationToken|SignatureDoesNotMatch|InvalidSignatureException)$/
const expired = /^(ExpiredToken|ExpiredTokenException|RequestExpired)$/

export function awsRefused(answer: AwsAnswer, call: Call): AwsError {
  const { code, message } = said(answer.text)
  const throttled = answer.status === 429 || answer.status === 503 || (code !== undefined && throttling.test(code))
  // That message quotes the request as it was signed, its token included.
  const shown = code === 'SignatureDoesNotMatch' || message === undefined ? '' : `: ${shortened(message)}`
  const what = `HTTP ${answer.status}${code === undefined ? '' : ` ${shortened(code)}`}${shown}`
  return new AwsError(
    call.tidy(`${call.where} cannot ${call.doing}: ${throttled ? 'it is asked too often: ' : ''}${what}`),
    {
      code,
      hint: hintFor(answer.status, code, throttled, call.action),
      ...(throttled || answer.status >= 500 ? { retryAfterMs: retryAfterMs(answer.headers) } : {}),
    },
  )
}

function hintFor(status: number, code: string | undefined, throttled: boolean, action: string): string {
  if (throttled) return 'the limit counts every call of the account in the region: who else asks there?'
  if (code !== undefined && denied.test(code))
    return `give the role the right elasticloadbalancing:${action}; the provider’s page under docs/balancers lists all that are needed`
  if (code !== undefined && expired.test(code))
    return 'the credentials are no longer valid: raise role-duration-seconds of configure-aws-credentials, or set the runner’s clock'
  if (code !== undefined && badCredentials.test(code))
    return 'AWS does not know these credentials: are AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN of one set, and whole?'
  if (code === 'TargetGroupNotFound' || code === 'LoadBalancerNotFound' || code === 'AccessPointNotFound')
    return 'look at the manifest, at the region, and whether the credentials belong to the same account'
  if (status >= 500) return 'look at the state of AWS in that region'
  if (status >= 300 && status < 400) return 'redirects are not followed: set AWS_ENDPOINT_URL to where the API is'
  return 'what AWS said is in the message'
}

/** `<ErrorResponse><Error><Code>…` (both APIs). */
function said(text: string): { readonly code?: string | undefined; readonly message?: string | undefined } {
  try {
    const root = parseXml(text)
    const error = root.name === 'ErrorResponse' ? childOf(root, 'Error') : undefined
    return error ? { code: textAt(error, 'Code'), message: textAt(error, 'Message') } : {}
  } catch {
    return {}
  }
}
