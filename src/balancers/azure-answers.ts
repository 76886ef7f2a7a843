/** What is read of the answers of Azure's Resource Manager. A pool is kept as it came: it can only be written as a whole. */
import { z } from 'zod'

/** A backend address pool exactly as Azure gave it. */
export type RawPool = Readonly<Record<string, unknown>>

function answers() {
  const reference = z.object({ id: z.string() })
  const pool = z.object({
    etag: z.string().min(1),
    properties: z.object({
      provisioningState: z.string().optional(),
      drainPeriodInSeconds: z.number().min(0).max(86_400).nullish(),
      loadBalancerBackendAddresses: z
        .array(
          z.object({
            name: z.string().nullish(),
            properties: z
              .object({
                ipAddress: z.string().nullish(),
                networkInterfaceIPConfiguration: reference.nullish(),
                adminState: z.string().nullish(),
              })
              .nullish(),
          }),
        )
        .nullish(),
    }),
  })
  const rule = z.object({
    name: z.string().optional(),
    properties: z
      .object({
        backendAddressPool: reference.nullish(),
        backendAddressPools: z.array(reference).nullish(),
        probe: reference.nullish(),
        loadDistribution: z.string().nullish(),
      })
      .nullish(),
  })
  const probe = z.object({
    id: z.string(),
    properties: z
      .object({
        intervalInSeconds: z.number().min(0).max(3600).nullish(),
        numberOfProbes: z.number().min(0).max(1000).nullish(),
        probeThreshold: z.number().min(0).max(1000).nullish(),
      })
      .nullish(),
  })
  return {
    /** Only looked at: what is written back is the very same object, whatever else stands in it. */
    rawPool: z.custom<RawPool>(value => pool.safeParse(value).success, 'it is no backend address pool'),
    pool,
    balancer: z.object({
      properties: z.object({ loadBalancingRules: z.array(rule).nullish(), probes: z.array(probe).nullish() }),
    }),
    operation: z.object({
      status: z.string(),
      error: z.object({ code: z.string().nullish(), message: z.string().nullish() }).nullish(),
    }),
  }
}
let made: ReturnType<typeof answers> | undefined
/** Made when first needed: at start-up they would cost everyone milliseconds. */
export function azureAnswers(): ReturnType<typeof answers> {
  made ??= answers()
  return made
}
type Answers = { readonly [K in keyof ReturnType<typeof answers>]: z.output<ReturnType<typeof answers>[K]> }
export type BalancerRead = Answers['balancer']

/** An address of the pool; `index`: its place in the list. */
export interface PoolAddress {
  readonly index: number
  readonly name: string
  readonly ip: string | undefined
  /** The resource id of the network interface's IP configuration, where the pool is one of network interfaces. */
  readonly nic: string | undefined
  /** None, Up, Down; undefined: none is set. */
  readonly adminState: string | undefined
}

export interface PoolRead {
  readonly raw: RawPool
  readonly etag: string
  readonly provisioningState: string
  /** Seconds; 0: open connections are left alone. */
  readonly drainPeriod: number
  readonly addresses: readonly PoolAddress[]
}

export function readPool(raw: RawPool): PoolRead {
  const { etag, properties: p } = azureAnswers().pool.parse(raw)
  return {
    raw,
    etag,
    provisioningState: p.provisioningState ?? 'Succeeded',
    drainPeriod: p.drainPeriodInSeconds ?? 0,
    addresses: (p.loadBalancerBackendAddresses ?? []).map(({ name, properties: a }, index) => ({
      index,
      name: name ?? '',
      ip: a?.ipAddress ?? undefined,
      nic: a?.networkInterfaceIPConfiguration?.id,
      adminState: a?.adminState ?? undefined,
    })),
  }
}

/** The same pool but for the admin state of one address. */
export function withAdminState({ raw }: PoolRead, index: number, adminState: 'Down' | 'None'): RawPool {
  const copy = structuredClone(raw) as {
    properties: { loadBalancerBackendAddresses: { properties?: Record<string, unknown> | null }[] }
  }
  const address = copy.properties.loadBalancerBackendAddresses[index]
  if (address) address.properties = { ...address.properties, adminState }
  return copy
}
