/** The checks of one server: until they are good, or tried once. */
import type { Clock } from '../clock.ts'
import type { Check, Hold } from '../manifest/schema.ts'
import type { Emit } from '../report/events.ts'
import { tryEach, verify } from '../verify/verify.ts'
import type { Hands } from './hands-contract.ts'
import type { Scripts } from './scripts.ts'
import type { Session } from './session.ts'

export interface Checking {
  verify: Hands['verify']
  /** Once: the server's checks, or the one of a hold. What is not good, in words; null: all is. Throws LockLostError and the signal's reason. */
  look(release: string | null, own: Hold['check']): Promise<string | null>
}

export function checkingOf(
  session: Session,
  { releaseOf, scriptOf, checksOf, checkOf }: Scripts,
  emit: Emit,
  clock: Clock,
): Checking {
  const { server } = session
  const deps = async (there: ReturnType<Scripts['releaseOf']>) => ({
    connection: await session.connection(),
    script: (command: string) => scriptOf(command, there, null),
  })
  return {
    async verify(release) {
      const there = releaseOf(release)
      const checks = checksOf(there)
      if (checks.length === 0) return 'not verified'
      const onVerified = (v: { readonly check: string; readonly seconds: number; readonly detail: string }) =>
        emit({ type: 'verified', server: server.name, check: v.check, seconds: v.seconds, detail: v.detail })
      await verify(checks, server, { ...(await deps(there)), onVerified }, clock, session.signal)
      return 'verified'
    },
    async look(release, own) {
      const there = releaseOf(release)
      const checks: readonly Check[] = own === undefined ? checksOf(there) : [checkOf(own, there)]
      return checks.length === 0 ? null : tryEach(checks, server, await deps(there), session.signal)
    },
  }
}
