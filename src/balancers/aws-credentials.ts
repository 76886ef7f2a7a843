/** AWS credentials from the step's env, as aws-actions/configure-aws-credentials exports them; from nowhere else. */
import { BalancerError } from '../errors.ts'

export interface Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

const hint =
  'let aws-actions/configure-aws-credentials run in a step before this one, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the step’s env, from secrets'

/** Throws BalancerError that names the variable and never holds what is in it. */
export function credentialsOf(name: string, env: Readonly<Record<string, string>>): Credentials {
  const get = (variable: string) => {
    const value = env[variable]?.trim() ?? ''
    // Anything else could not stand in a header, and fetch would put it into its own message.
    if (!/^[\x21-\x7e]*$/.test(value))
      throw new BalancerError(`${name}: ${variable} holds what cannot be a credential: spaces, line ends or the like`, {
        hint: 'look at the secret: it holds the credential and nothing else',
      })
    return value
  }
  const accessKeyId = get('AWS_ACCESS_KEY_ID')
  const secretAccessKey = get('AWS_SECRET_ACCESS_KEY')
  const sessionToken = get('AWS_SESSION_TOKEN')
  const missing = [
    ...(accessKeyId === '' ? ['AWS_ACCESS_KEY_ID'] : []),
    ...(secretAccessKey === '' ? ['AWS_SECRET_ACCESS_KEY'] : []),
    // Keys that begin so are temporary (IAM user guide, "IAM identifiers").
    ...(accessKeyId.startsWith('ASIA') && sessionToken === '' ? ['AWS_SESSION_TOKEN'] : []),
  ]
  if (missing.length > 0)
    throw new BalancerError(`${name}: there are no credentials for AWS: ${missing.join(' and ')} not set`, { hint })
  return { accessKeyId, secretAccessKey, ...(sessionToken === '' ? {} : { sessionToken }) }
}
