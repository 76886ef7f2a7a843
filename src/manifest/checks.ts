/** Which of `verify` is meant for a server. */
import type { Server } from './manifest.ts'
import type { Check } from './schema.ts'

/** None: the server is not verified. */
export const checksFor = (checks: readonly Check[], server: Server): readonly Check[] =>
  checks.filter(check => check.roles.length === 0 || check.roles.some(role => server.roles.includes(role)))
