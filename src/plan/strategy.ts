/** Which strategy applies, and why. Highest first: the migrations gate, the input, the manifest, the default. */
import type { Manifest } from '../manifest/manifest.ts'
import type { Group, Strategy, WebServer } from '../manifest/schema.ts'
import type { Effective, PlannedMigration } from './plan.ts'

/** Web servers that promise that `activate` refuses no request. */
const restartsWithoutLoss: readonly WebServer[] = ['puma', 'unicorn', 'passenger-enterprise']

export const defaultStrategy = (webServer: WebServer): Strategy =>
  restartsWithoutLoss.includes(webServer) ? 'parallel' : 'serial'

/** What would apply without the gate. */
function asked(manifest: Manifest, input: Strategy | null, group: Group | null): Effective<Strategy> {
  if (input !== null)
    return { value: input, origin: 'input', reason: 'asked for by the input strategy, for this deployment only' }
  if (group?.strategy !== undefined)
    return { value: group.strategy, origin: 'manifest', reason: `rollout.groups (${group.roles.join(', ')}) says so` }
  if (manifest.rollout.strategy !== undefined)
    return { value: manifest.rollout.strategy, origin: 'manifest', reason: 'rollout.strategy says so' }
  return {
    value: defaultStrategy(manifest.web_server),
    origin: 'default',
    reason: `the default for web_server: ${manifest.web_server}`,
  }
}

/** The strategy of the whole rollout, or of one group of it. */
export function effectiveStrategy(
  manifest: Manifest,
  input: Strategy | null,
  migration: Pick<PlannedMigration, 'enabled' | 'reason'>,
  group: Group | null = null,
): Effective<Strategy> {
  const without = asked(manifest, input, group)
  if (!migration.enabled) return without
  return {
    value: 'serial',
    origin: 'gate',
    reason:
      without.value === 'serial'
        ? `migrations are enabled, and ${without.reason}`
        : `migrations are enabled (${migration.reason}); ${without.value} ${without.origin === 'input' ? 'was asked for by the input' : `would apply: ${without.reason}`}`,
  }
}
