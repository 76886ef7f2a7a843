import { expect, it } from 'vitest'
import { PreflightError } from '../../src/errors.ts'
import { startSshd } from '../support/sshd.ts'
import { failure, fleetOf, forever, serverAt } from './reach.ts'

it('an exit that arrives together with the answer to exec is heard, also on a busy runner', async () => {
  const sshd = await startSshd({ config: ['ForceCommand echo "This account is locked."; exit 1'] })
  const fleet = fleetOf([sshd])
  const connection = await fleet.connect(serverAt(sshd), forever)
  const busy = setInterval(() => {
    const end = performance.now() + 150
    while (performance.now() < end);
  }, 0)
  try {
    const error = await failure(connection.run('true', { signal: forever, timeout: 60 }), PreflightError)
    expect(error.message).toContain('did not start a script (exit code 1): This account is locked.')
  } finally {
    clearInterval(busy)
    fleet.close()
    await sshd.stop()
  }
})
