/** The calls of DigitalOcean's API that are needed, with what is read of their answers. Source: github.com/digitalocean/openapi. */
import { z } from 'zod'
import type { Machine } from './cloud-members.ts'
import { type RestApi, restApi } from './rest-api.ts'
import { RestError } from './rest-errors.ts'

/** Made when first needed: at start-up they would cost everyone milliseconds. */
function answers() {
  const loadBalancer = z.object({
    load_balancer: z.object({
      status: z.string().optional(),
      type: z.string().optional(),
      tag: z.string().nullish(),
      droplet_ids: z.array(z.number().int()).nullish(),
      // The defaults of the description: models/health_check.yml.
      health_check: z
        .object({
          check_interval_seconds: z.number().min(0).max(3600).default(10),
          healthy_threshold: z.number().min(0).max(1000).default(3),
        })
        .nullish(),
    }),
  })
  const addresses = z.array(z.object({ ip_address: z.string().optional() })).nullish()
  const droplets = z.object({
    droplets: z.array(
      z.object({
        id: z.number().int(),
        name: z.string(),
        networks: z.object({ v4: addresses, v6: addresses }).nullish(),
      }),
    ),
    links: z.object({ pages: z.object({ next: z.string().optional() }).nullish() }).nullish(),
  })
  return { loadBalancer, droplets }
}
export type LoadBalancerRead = z.output<ReturnType<typeof answers>['loadBalancer']>['load_balancer']

export interface DigitaloceanApi {
  loadBalancer(id: string, signal: AbortSignal): Promise<LoadBalancerRead>
  droplets(signal: AbortSignal): Promise<Machine<number>[]>
  isDroplet(id: number, signal: AbortSignal): Promise<boolean>
  change(what: 'add' | 'remove', from: string, droplet: number, server: string, signal: AbortSignal): Promise<void>
}

const perPage = 200
/** 100,000 droplets: an answer that always names a next page ends somewhere. */
const mostPages = 500

/** Variables as doctl and Terraform call them. */
export function digitaloceanApi(name: string, env: Readonly<Record<string, string>>): DigitaloceanApi {
  const { loadBalancer, droplets } = answers()
  const api: RestApi = restApi({
    name,
    vendor: 'DigitalOcean',
    env,
    tokens: ['DIGITALOCEAN_TOKEN', 'DIGITALOCEAN_ACCESS_TOKEN'],
    base: { variable: 'DIGITALOCEAN_API_URL', usual: 'https://api.digitalocean.com' },
  })
  return {
    async loadBalancer(id, signal) {
      const { body } = await api.call(
        {
          method: 'GET',
          path: `/v2/load_balancers/${id}`,
          doing: `read load balancer ${id}`,
          wanted: `load balancer ${id}`,
          needs: 'load_balancer:read',
          answer: loadBalancer,
        },
        signal,
      )
      return body.load_balancer
    },
    async droplets(signal) {
      const found: Machine<number>[] = []
      for (let page = 1; page <= mostPages; page++) {
        const { body } = await api.call(
          {
            method: 'GET',
            path: '/v2/droplets',
            query: { per_page: String(perPage), page: String(page) },
            doing: 'list droplets',
            wanted: 'list of droplets',
            needs: 'droplet:read',
            answer: droplets,
          },
          signal,
        )
        for (const { id, name: called, networks } of body.droplets) {
          const all = [...(networks?.v4 ?? []), ...(networks?.v6 ?? [])]
          found.push({ id, name: called, addresses: all.flatMap(a => a.ip_address ?? []) })
        }
        if (body.links?.pages?.next === undefined) break
      }
      return found
    },
    async isDroplet(id, signal) {
      try {
        await api.call(
          {
            method: 'GET',
            path: `/v2/droplets/${id}`,
            doing: `read droplet ${id}`,
            wanted: `droplet ${id}`,
            needs: 'droplet:read',
            answer: z.object({ droplet: z.object({ id: z.literal(id) }) }),
          },
          signal,
        )
        return true
      } catch (error) {
        if (error instanceof RestError && error.status === 404) return false
        throw error
      }
    },
    async change(what, from, droplet, server, signal) {
      await api.call(
        {
          method: what === 'add' ? 'POST' : 'DELETE',
          path: `/v2/load_balancers/${from}/droplets`,
          body: { droplet_ids: [droplet] },
          doing: `${what} droplet ${droplet} (${server}) ${what === 'add' ? 'to' : 'from'} load balancer ${from}`,
          wanted: `load balancer ${from}, or no droplet ${droplet}`,
          needs: 'load_balancer:update',
          server,
          answer: z.unknown(),
        },
        signal,
      )
    },
  }
}
