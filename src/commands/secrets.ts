/** Everything that must not be shown: what a run was given as a secret, whether a manifest names it or not. */
import type { Request } from '../inputs.ts'
import type { Manifest } from '../manifest/manifest.ts'

/** The vendors' usual names, as the providers in balancers/ read them. */
const tokens = [
  'AWS_SECRET_ACCESS_KEY',
  'AWS_SESSION_TOKEN',
  'AZURE_ACCESS_TOKEN',
  'CLOUDFLARE_API_TOKEN',
  'CLOUDSDK_AUTH_ACCESS_TOKEN',
  'DIGITALOCEAN_ACCESS_TOKEN',
  'DIGITALOCEAN_TOKEN',
  'GOOGLE_OAUTH_ACCESS_TOKEN',
  'HCLOUD_TOKEN',
  'LINODE_TOKEN',
] as const

/** Keys and tokens of the inputs and the step's env, and the values of the manifest's `secrets`. */
export const secretsOf = (request: Request, manifest: Pick<Manifest, 'secrets'> | null): readonly string[] =>
  [
    request.sshKey,
    request.sshKeyPassphrase,
    request.githubToken,
    ...tokens.map(name => request.env[name] ?? null),
    ...(manifest?.secrets.map(name => request.env[name] ?? null) ?? []),
  ].filter(secret => secret !== null)
