/** What a run still has to say to GitHub when everything else is done takes a bounded time, however GitHub behaves. */
import { DeployError } from '../errors.ts'

/** Milliseconds from a cancel on: a cancelled run is killed ten seconds after its signal. */
const cancelledMs = 3_000

export class LateError extends DeployError {
  constructor() {
    super('GitHub did not answer in time')
  }
}

/** Waits for the work, and rejects as it does; with LateError once its time is over. */
export type InTime = <T>(work: () => Promise<T>, cancel: AbortSignal) => Promise<T>

/** `ms`: milliseconds that each work has. Once one was late, none is begun any more: nobody waits twice for the same trouble. */
export function createInTime(ms: number): InTime {
  let late = false
  return (work, cancel) =>
    new Promise((resolve, reject) => {
      if (late) return reject(new LateError())
      const timers: NodeJS.Timeout[] = []
      const done = () => {
        for (const timer of timers) clearTimeout(timer)
        cancel.removeEventListener('abort', hurry)
      }
      const stop = () => {
        late = true
        done()
        reject(new LateError())
      }
      const hurry = () => timers.push(setTimeout(stop, Math.min(ms, cancelledMs)))
      timers.push(setTimeout(stop, ms))
      if (cancel.aborted) hurry()
      else cancel.addEventListener('abort', hurry)
      work().then(resolve, reject).finally(done)
    })
}
