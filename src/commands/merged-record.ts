/** GitHub's record of a fan-out as a whole (action.md: shards write none). It is made where their reports come together, and ended at once. */
import type { RecordFacts } from '../github/record.ts'
import type { Request } from '../inputs.ts'
import type { Follower } from '../report/follower.ts'
import type { ReportState } from '../report/state.ts'
import type { Following } from './followers.ts'
import { gitHubOf, recording } from './recording.ts'

/** Where no shard came to a plan, its first words still name the environment: `application → environment`. */
const environmentOf = ({ plan, subject }: ReportState): string | null =>
  plan === null ? (subject?.split(' → ').at(-1) ?? null) : (plan.environment ?? plan.application)

function factsOf({ run }: Request, state: ReportState): RecordFacts | null {
  const environment = environmentOf(state)
  if (environment === null) return null
  return {
    ref: run.headSha ?? run.sha,
    environment,
    task: state.command === 'rollback' ? 'rollback' : 'deploy',
    transient: false,
    production: environment === 'production',
  }
}

/** null: none was asked for. */
export function mergedRecording(f: Following, warn: (text: string) => void): Follower | null {
  if (f.request.command !== 'report' || f.request.githubDeployment !== true) return null
  let record: Follower | null = null
  return {
    listener(event) {
      if (event.type !== 'merged') return
      const facts = factsOf(f.request, event.state)
      if (facts === null) return
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
