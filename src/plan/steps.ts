/** Which steps run where: a step's roles, servers, environments and `once` over the selected servers. */
import picomatch from 'picomatch'
import type { Manifest, Server } from '../manifest/manifest.ts'
import type { Step } from '../manifest/schema.ts'
import type { PlannedStep } from './plan.ts'

const phases = ['prepare', 'activate', 'finalize', 'cleanup'] as const

/** The servers a step runs on, of those given, in their order. */
export function serversOf(
  step: Pick<Step, 'roles' | 'servers' | 'environments' | 'once'>,
  environment: string | null,
  servers: readonly Server[],
): readonly Server[] {
  if (step.environments.length > 0 && (environment === null || !step.environments.includes(environment))) return []
  const globs = step.servers.map(pattern => picomatch(pattern))
  const chosen = servers.filter(
    s =>
      (step.roles.length === 0 || step.roles.some(r => s.roles.includes(r))) &&
      (globs.length === 0 || step.servers.includes(s.name) || globs.some(g => g(s.name))),
  )
  return step.once ? chosen.slice(0, 1) : chosen
}

/** Every step of every phase with its servers; steps nobody runs are kept with an empty list, so that a plan shows them. */
export function plannedSteps(manifest: Manifest, selected: readonly Server[]): readonly PlannedStep[] {
  return phases.flatMap(phase =>
    plannedList(manifest[phase], manifest.environment, selected).map(step => ({ phase, ...step })),
  )
}

/** The same for one list of steps. */
export function plannedList(
  steps: readonly Step[],
  environment: string | null,
  selected: readonly Server[],
): readonly Omit<PlannedStep, 'phase'>[] {
  let group = -1
  return steps.map((step, index) => {
    if (!step.with_previous || index === 0) group++
    const servers = serversOf(step, environment, selected).map(s => s.name)
    return { index, name: step.name, group, once: step.once, servers }
  })
}
