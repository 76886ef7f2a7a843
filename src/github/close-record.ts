/** In post: closes the record of a run that was cut off. */
import type { Follower } from '../report/follower.ts'
import type { GitHub } from './api.ts'
import { findDeployment, setStatus } from './deployments.ts'
import { inTime } from './record.ts'
import type { OpenRecord } from './record-state.ts'
import { endOfRecovery, type RecordEnd } from './record-words.ts'

/** Milliseconds; the job ends five minutes after it was cancelled, and the recovery may have taken four. */
const closeMs = 30_000

export interface Closing {
  readonly gh: GitHub
  readonly open: OpenRecord
  readonly logUrl: string | null
  readonly cancel: AbortSignal
}

/** Says what main would have said last, or else `otherwise`. Never throws. */
export async function closeRecord({ gh, open, logUrl, cancel }: Closing, otherwise: RecordEnd): Promise<void> {
  const close = async () => {
    try {
      const id = open.id ?? (await findDeployment(gh, open.asked))
      if (id === null) return
      const { state, description } = open.end ?? otherwise
      await setStatus(gh, id, { state, description, logUrl, environmentUrl: open.end?.environmentUrl ?? null })
    } catch (error) {
      if (!open.told) gh.trouble(error, 'deployments')
    }
  }
  await inTime(close(), closeMs, cancel)
}

/** Follows the recovery of a run that was cut off. */
export const closingRecord = (closing: Closing): Follower => ({
  listener: () => {},
  end: state => closeRecord(closing, endOfRecovery(state)),
  outputs: () => ({}),
})
