/** In post: closes the record of a run that was cut off. */
import type { Follower } from '../report/follower.ts'
import type { GitHub } from './api.ts'
import { findDeployment, setStatus } from './deployments.ts'
import type { OpenRecord } from './record-state.ts'
import { endOfRecovery, type RecordEnd } from './record-words.ts'

export interface Closing {
  readonly gh: GitHub
  readonly open: OpenRecord
  readonly logUrl: string | null
  readonly cancel: AbortSignal
}

/** Says what main would have said last, or else `otherwise`. Never throws. */
export async function closeRecord({ gh, open, logUrl, cancel }: Closing, otherwise: RecordEnd): Promise<void> {
  const close = async () => {
    const id = open.id ?? (await findDeployment(gh, open.asked))
    if (id !== null) await setStatus(gh, id, { environmentUrl: null, ...(open.end ?? otherwise), logUrl })
  }
  await gh.inTime(close, cancel).catch((error: unknown) => gh.trouble(error, 'deployments'))
}

/** Follows the recovery of a run that was cut off. */
export const closingRecord = (closing: Closing): Follower => ({
  listener: () => {},
  end: state => closeRecord(closing, endOfRecovery(state)),
  outputs: () => ({}),
})
