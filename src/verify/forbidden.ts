/** Whether sshd refused a forwarded connection by its configuration, as opposed to nobody listening. */

/** SSH_OPEN_ADMINISTRATIVELY_PROHIBITED, RFC 4254 section 5.1: what sshd says under `AllowTcpForwarding no` (measured). */
const prohibited = 1

/** Looks through the causes: the connection wraps what the SSH library threw. */
export function isForbidden(error: unknown): boolean {
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++)
    if ('reason' in at && at.reason === prohibited) return true
  return false
}
