/** What is read of the answers of Google's Compute Engine API. Source: its discovery document, compute v1, revision 20261106. */
import { z } from 'zod'
import type { Member } from './gcp-members.ts'
import { lastPart } from './gcp-names.ts'

/** Made when first needed: at start-up they would cost everyone milliseconds. */
export function gcpAnswers() {
  const seconds = z.number().min(0).max(3600)
  const next = z.string().optional()
  const health = z.object({
    healthState: z.string().optional(),
    ipv6HealthState: z.string().optional(),
  })
  const endpoint = z.object({
    ipAddress: z.string().optional(),
    ipv6Address: z.string().optional(),
    port: z.number().int().optional(),
    instance: z.string().optional(),
    annotations: z.record(z.string(), z.string()).optional(),
  })
  const address = z.object({ natIP: z.string().optional(), externalIpv6: z.string().optional() })
  return {
    group: z.object({ name: z.string(), networkEndpointType: z.string().optional() }),
    instancesIn: z.object({ items: z.array(z.object({ instance: z.string() })).optional(), nextPageToken: next }),
    endpointsIn: z.object({
      items: z
        .array(
          z.object({
            networkEndpoint: endpoint,
            healths: z
              .array(health.extend({ backendService: z.object({ backendService: z.string().optional() }).optional() }))
              .optional(),
          }),
        )
        .optional(),
      nextPageToken: next,
    }),
    instances: z.object({
      items: z
        .array(
          z.object({
            id: z.string().optional(),
            name: z.string(),
            networkInterfaces: z
              .array(
                z.object({
                  networkIP: z.string().optional(),
                  ipv6Address: z.string().optional(),
                  accessConfigs: z.array(address).optional(),
                  ipv6AccessConfigs: z.array(address).optional(),
                }),
              )
              .optional(),
          }),
        )
        .optional(),
      nextPageToken: next,
    }),
    service: z.object({
      selfLink: z.string().optional(),
      backends: z.array(z.object({ group: z.string() })).optional(),
      // Absent: off.
      connectionDraining: z.object({ drainingTimeoutSec: seconds.default(0) }).optional(),
      healthChecks: z.array(z.string()).optional(),
      sessionAffinity: z.string().optional(),
    }),
    check: z.object({
      checkIntervalSec: seconds.default(5),
      timeoutSec: seconds.default(5),
      healthyThreshold: z.number().min(0).max(100).default(2),
    }),
    health: z.object({
      healthStatus: z
        .array(
          health.extend({
            instance: z.string().optional(),
            ipAddress: z.string().optional(),
            ipv6Address: z.string().optional(),
            port: z.number().int().optional(),
          }),
        )
        .optional(),
    }),
    operation: z.object({
      // It becomes part of a path.
      name: z.string().regex(/^[\w-]{1,200}$/),
      status: z.enum(['PENDING', 'RUNNING', 'DONE']),
      error: z
        .object({ errors: z.array(z.object({ code: z.string().optional(), message: z.string().optional() })) })
        .optional(),
    }),
  }
}
type Answers = { readonly [K in keyof ReturnType<typeof gcpAnswers>]: z.output<ReturnType<typeof gcpAnswers>[K]> }
export type ServiceRead = Answers['service']
export type CheckRead = Answers['check']
export type OperationRead = Answers['operation']

type EndpointRead = NonNullable<Answers['endpointsIn']['items']>[number]

/** Its health as this service sees it; where the service says nothing of it, as any does: what is left may still drain for another one. */
export function endpointOf({ networkEndpoint: e, healths = [] }: EndpointRead, service: string): Member {
  const own = healths.filter(h => h.backendService?.backendService?.endsWith(`/${service}`))
  const counted = own.length > 0 ? own : healths
  return {
    ...(e.instance === undefined ? {} : { instance: lastPart(e.instance) }),
    ...(e.ipAddress ? { ip: e.ipAddress } : {}),
    ...(e.ipv6Address ? { ipv6: e.ipv6Address } : {}),
    ...(e.port === undefined ? {} : { port: e.port }),
    draining: counted.some(h => h.healthState === 'DRAINING' || h.ipv6HealthState === 'DRAINING'),
    showsHealth: healths.length > 0,
    annotated: Object.keys(e.annotations ?? {}).length > 0,
  }
}
