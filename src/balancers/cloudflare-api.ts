/**
 * The calls of Cloudflare's API that are needed, with what is read of their answers. Source: github.com/cloudflare/api-schemas,
 * load-balancing_*. All of an origin is kept, also what nobody here knows: the list is written as a whole.
 */
import { z } from 'zod'
import { restApi } from './rest-api.ts'
import { RestError } from './rest-errors.ts'

const origin = z.looseObject({
  name: z.string().default(''),
  address: z.string().default(''),
  port: z.number().int().nullish(),
  enabled: z.boolean().optional(),
  weight: z.number().nullish(),
  // Not in the description, but in answers (cloudflare-go#767).
  healthy: z.boolean().nullish(),
  failure_reason: z.string().nullish(),
})
export type Origin = z.output<typeof origin>

const pool = z.object({
  id: z.string(),
  name: z.string().default(''),
  enabled: z.boolean().default(true),
  minimum_origins: z.number().default(1),
  monitor: z.string().nullish(),
  monitor_group: z.string().nullish(),
  modified_on: z.string().nullish(),
  origins: z.array(z.looseObject({})),
})

export interface PoolRead extends Omit<z.output<typeof pool>, 'origins'> {
  readonly origins: readonly Origin[]
  /** As they were read, with nothing added; what is written begins with these. */
  readonly raw: readonly Readonly<Record<string, unknown>>[]
}

const monitor = z.object({
  interval: z.number().min(0).max(86_400).default(60),
  timeout: z.number().min(0).max(3600).default(5),
  retries: z.number().min(0).max(100).default(2),
  consecutive_up: z.number().min(0).max(1000).default(0),
})
export type MonitorRead = z.output<typeof monitor>

/** By region, of each origin by its address. */
const health = z.object({
  pop_health: z
    .record(
      z.string(),
      z.looseObject({
        origins: z
          .array(
            z.record(
              z.string(),
              z.looseObject({ healthy: z.boolean().nullish(), failure_reason: z.string().nullish() }),
            ),
          )
          .nullish(),
      }),
    )
    .nullish(),
})
export type HealthRead = NonNullable<z.output<typeof health>['pop_health']>

/** Every answer is wrapped like this. */
const result = <S extends z.ZodType>(of: S) => z.object({ success: z.literal(true), result: of })

export interface CloudflareApi {
  /** Where it is, as text: one key for all that writes there. */
  base(): string
  pool(id: string, signal: AbortSignal): Promise<PoolRead>
  write(id: string, origins: readonly unknown[], doing: string, server: string, signal: AbortSignal): Promise<void>
  monitor(id: string, signal: AbortSignal): Promise<MonitorRead>
  health(pool: string, signal: AbortSignal): Promise<HealthRead>
}

/** Variables as the official SDKs and Terraform call them. */
export function cloudflareApi(
  name: string,
  account: () => string,
  env: Readonly<Record<string, string>>,
): CloudflareApi {
  const api = restApi({
    name,
    vendor: 'Cloudflare',
    env,
    tokens: ['CLOUDFLARE_API_TOKEN'],
    base: { variable: 'CLOUDFLARE_BASE_URL', usual: 'https://api.cloudflare.com/client/v4' },
  })
  const under = () => `/accounts/${account()}/load_balancers`
  const read = 'Load Balancing: Monitors and Pools Read'
  return {
    base: () => `${api.base()}${under()}`,
    async pool(id, signal) {
      const { body } = await api.call(
        {
          method: 'GET',
          path: `${under()}/pools/${id}`,
          doing: `read pool ${id}`,
          wanted: `pool ${id} in account ${account()}`,
          needs: read,
          answer: result(pool).transform((answer, context) => {
            const origins = z.array(origin).safeParse(answer.result.origins)
            if (origins.success) return { ...answer.result, origins: origins.data, raw: answer.result.origins }
            for (const issue of origins.error.issues)
              context.addIssue({ code: 'custom', message: issue.message, path: ['result', 'origins', ...issue.path] })
            return z.NEVER
          }),
        },
        signal,
      )
      return body
    },
    async write(id, origins, doing, server, signal) {
      await api.call(
        {
          method: 'PATCH',
          path: `${under()}/pools/${id}`,
          body: { origins },
          doing,
          wanted: `pool ${id} in account ${account()}`,
          needs: 'Load Balancing: Monitors and Pools Write',
          server,
          answer: result(z.unknown()),
        },
        signal,
      )
    },
    async monitor(id, signal) {
      const { body } = await api.call(
        {
          method: 'GET',
          path: `${under()}/monitors/${id}`,
          doing: `read monitor ${id}`,
          wanted: `monitor ${id} in account ${account()}`,
          needs: read,
          answer: result(monitor),
        },
        signal,
      )
      return body.result
    },
    async health(id, signal) {
      try {
        const { body } = await api.call(
          {
            method: 'GET',
            path: `${under()}/pools/${id}/health`,
            doing: `read the health of pool ${id}`,
            wanted: `pool ${id} in account ${account()}`,
            needs: read,
            answer: result(health),
          },
          signal,
        )
        return body.result.pop_health ?? {}
      } catch (error) {
        // What it says of a pool that was not checked yet (steampipe-plugin-cloudflare#175): nobody knows.
        if (error instanceof RestError && /health info unavailable/i.test(error.message)) return {}
        throw error
      }
    },
  }
}
