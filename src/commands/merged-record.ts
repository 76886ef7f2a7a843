/** GitHub's record of a fan-out as a whole (action.md: shards write none). It is made where their reports come together, and ended at once. */
import type { Follower } from '../report/follower.ts'
import type { ReportState } from '../report/state.ts'
import type { Following } from './followers.ts'
import { factsOf, gitHubOf, recording } from './recording.ts'

/** Where no shard came to a plan, its first words still name the environment: `application → environment`. */
const environmentOf = ({ plan, subject }: ReportState): string | null =>
  plan === null ? (subject?.split(' → ').at(-1) ?? null) : (plan.environment ?? plan.application)

/** null: none was asked for. */
export function mergedRecording(f: Following, warn: (text: string) => void): Follower | null {
  if (f.request.command !== 'report' || f.request.githubDeployment !== true) return null
  let record: Follower | null = null
  return {
    listener(event) {
      if (event.type !== 'merged') return
      const environment = environmentOf(event.state)
      if (environment === null) return
      const facts = factsOf(f.request.run, environment, event.state.command === 'rollback' ? 'rollback' : 'deploy')
      record = recording(f, gitHubOf(f.request, warn), facts, warn)
      const { at } = event
      // As the run itself would have begun.
      record.listener({ type: 'phase', phase: 'preflight', at })
      if (event.state.plan !== null) record.listener({ type: 'planned', plan: event.state.plan, at })
    },
    end: async state => record?.end(state),
    outputs: () => record?.outputs() ?? {},
  }
}
