/** The request's SSH access: keys or agent, and the hosts that are known. */
import { InputError } from '../errors.ts'
import { type Fleet, openFleet } from '../fleet/fleet.ts'
import { parseKnownHosts } from '../fleet/known-hosts.ts'
import { readPrivateKeys } from '../fleet/private-keys.ts'
import type { Context } from './context.ts'
import { workspaceReader } from './workspace.ts'

/** The known_hosts lines that count: the input's, else the committed file's; null: there are none. Throws InputError. */
export function knownHostsText({ request, manifest }: Pick<Context, 'request' | 'manifest'>): string | null {
  if (request.sshKnownHosts !== null) return request.sshKnownHosts
  const file = manifest.ssh.known_hosts
  return file === undefined ? null : workspaceReader(request)(file)
}

/** Opens no connection. Throws InputError for keys and files that cannot be used. */
export function fleetOf({ request, manifest, emit }: Pick<Context, 'request' | 'manifest' | 'emit'>): Fleet {
  const text = knownHostsText({ request, manifest })
  const from = request.sshKnownHosts !== null ? 'the input ssh-known-hosts' : manifest.ssh.known_hosts
  const knownHosts = text === null ? null : parseKnownHosts(text, from)
  if (request.sshKey === null && request.sshAgent === null)
    throw new InputError('there is no private key and no SSH agent', {
      hint: request.onGitHub
        ? 'give the input ssh-key: ${{ secrets.DEPLOY_SSH_KEY }}, or start an agent before this step'
        : 'give --ssh-key-file PATH, or start an agent: eval "$(ssh-agent)" && ssh-add',
    })
  return openFleet({
    keys: request.sshKey === null ? [] : readPrivateKeys(request.sshKey, request.sshKeyPassphrase),
    ...(request.sshKey === null && request.sshAgent !== null ? { agent: request.sshAgent } : {}),
    knownHosts,
    strict: request.sshStrict,
    warn: text => emit({ type: 'message', level: 'warning', text }),
  })
}
