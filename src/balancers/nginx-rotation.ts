/** Where a server stands at one host of nginx. Pure. */
import type { Rotation } from './balancer.ts'
import type { NginxMember } from './nginx-config.ts'
import type { Seen } from './nginx-host.ts'
import { sameMember } from './nginx-receipt.ts'

/** Whether the workers that take connections have this line down; null: not known, or one has and another has not. */
function runsDown(seen: Seen, member: NginxMember): boolean | null {
  if (seen.running === null) return null
  const states = new Set(
    seen.running.map(members => {
      const lines = members.filter(m => sameMember(m, member))
      // A line that is not there yet gets nothing.
      return lines.every(m => m.down !== 'no')
    }),
  )
  const [only] = states
  return states.size === 1 ? (only ?? null) : null
}

/** The workers run this line as it stands in the file. */
export const isInForce = (seen: Seen, member: NginxMember): boolean => runsDown(seen, member) === (member.down !== 'no')

/**
 * What one line says. `removedAt`: the tick of our reload that took it out; workers that were started later never sent anything there.
 */
export function rotationOfLine(
  where: string,
  seen: Seen,
  member: NginxMember,
  removedAt: number | undefined,
): Rotation {
  const { look } = seen
  const line = `${member.address} in ${where}`
  if (look.current.length === 0)
    return { state: 'unknown', detail: `${line}: nginx has no worker that takes connections` }
  // On the way, or the reload had no effect; which of them only time tells. A further reload would help neither.
  if (!isInForce(seen, member))
    return {
      state: 'unknown',
      detail: `${line}: nginx has not loaded the file since it was last changed; where a reload takes no effect its error log says why`,
    }
  if (member.down === 'no') return { state: 'serving' }
  const old = look.old.filter(worker => removedAt === undefined || worker.start <= removedAt).length
  return old === 0
    ? { state: 'out', detail: `${line} is down` }
    : {
        state: 'draining',
        detail: `${line} is down, ${old} old ${old === 1 ? 'worker ends' : 'workers end'} what is in flight`,
      }
}
