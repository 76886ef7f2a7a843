/** What a deployment without a balancer does: every server's application is restarted in its turn, whatever it is answering. */
import { execFileSync } from 'node:child_process'
import type { Site } from './site.ts'

export function naiveRestart(at: Site, startMs: number): void {
  for (const { sshd, appPort, name, root } of at.servers) {
    const own = { HOME: sshd.home, NODE: process.execPath, PORT: String(appPort), START_MS: String(startMs) }
    const env = { PATH: process.env['PATH'], ...own, DEPLOY_SERVER: name, DEPLOY_RELEASE: 'naive' }
    execFileSync('./activate', { cwd: `${root}/current`, env })
  }
}
