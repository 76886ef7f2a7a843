/** A preview is deployed as everything is; and one whose first deployment does not come as far as beginning leaves nothing. */
import { ConnectionError, messageOf } from '../errors.ts'
import { sweepPreviews, unclaim } from '../release/preview.ts'
import type { Emit, Result } from '../report/events.ts'
import { printed } from '../rollout/session.ts'
import type { Context } from './context.ts'
import { deploy } from './deploy.ts'
import { siteOf } from './equipment.ts'
import { fleetOf } from './open-fleet.ts'
import { placeOf } from './preview-place.ts'
import { lockInfo, newToken } from './site.ts'

export async function deployPreview(c: Context): Promise<Result> {
  let connecting = false
  let begun = false
  const emit: Emit = event => {
    if (event.type === 'phase') {
      connecting = true
      begun ||= event.phase === 'prepare'
    }
    c.emit(event)
  }
  placeOf(c)
  try {
    return await deploy({ ...c, emit })
  } finally {
    if (connecting && !begun) await leaveNothing(c)
  }
}

/** Milliseconds for each server; a cancelled run is killed after ten seconds. */
const enoughMs = 10_000
const cancelledMs = 2_000

/** Takes away what was made for a preview of which no deployment ever began; a preview that was there before stays as it is. */
export async function leaveNothing(c: Context): Promise<void> {
  const fleet = fleetOf(c)
  const [site, place] = [siteOf(c), placeOf(c)]
  const signal = AbortSignal.timeout(c.cancel.aborted ? cancelledMs : enoughMs)
  const one = async (server: (typeof c.manifest.servers)[number]) => {
    try {
      const connection = await fleet.connect(server, signal)
      const owner = { token: newToken(), info: lockInfo(c.request, c.clock) }
      for (const script of [unclaim(site, owner, place), sweepPreviews(site, place)])
        printed(await connection.run(script, { signal, timeout: 10 }), server.name, 'preflight')
    } catch (error) {
      // Where the server could not be reached, nothing was made either.
      if (error instanceof ConnectionError || signal.aborted) return
      const text = `${server.name}: what was made for this preview may still be there: ${messageOf(error)}`
      c.emit({ type: 'message', level: 'info', server: server.name, text })
    }
  }
  await Promise.all(c.manifest.servers.map(one))
  fleet.close()
}
