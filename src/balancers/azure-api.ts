/**
 * The calls of Azure's Resource Manager that are needed. Source: github.com/Azure/azure-rest-api-specs, Microsoft.Network, loadBalancer.json;
 * asynchronous operations: learn.microsoft.com, "Track asynchronous Azure operations".
 */
import { z } from 'zod'
import { azureAnswers, type BalancerRead, type PoolRead, type RawPool, readPool } from './azure-answers.ts'
import { type RestAnswer, restApi } from './rest-api.ts'
import { RestError } from './rest-errors.ts'

export interface PoolPath {
  /** The resource id of the load balancer, and of the pool. */
  readonly balancer: string
  readonly pool: string
  /** Their names. */
  readonly balancerName: string
  readonly poolName: string
}

/** Where the end of a change is asked for; undefined: it was done at once. */
export type Following = { readonly url: string; readonly by: 'Azure-AsyncOperation' | 'Location' } | undefined

export type Followed =
  | { readonly state: 'running'; readonly detail: string }
  | { readonly state: 'ended' }
  | { readonly state: 'failed'; readonly why: string }

export interface AzureApi {
  pool(path: PoolPath, signal: AbortSignal): Promise<PoolRead>
  balancer(path: PoolPath, signal: AbortSignal): Promise<BalancerRead>
  /** Writes the whole pool, if nobody wrote since it was read. Throws RestError with status 412 where somebody did. */
  write(
    path: PoolPath,
    pool: RawPool,
    etag: string,
    doing: string,
    server: string,
    signal: AbortSignal,
  ): Promise<Following>
  follow(following: NonNullable<Following>, signal: AbortSignal): Promise<Followed>
  base(): string
}

const version = { 'api-version': '2024-05-01' }

/**
 * AZURE_ACCESS_TOKEN: no tool of Azure's reads a token from a variable, so the name has the prefix of all its variables (AZURE_CLIENT_ID, …)
 * and says what `az account get-access-token` prints.
 */
export function azureApi(name: string, env: Readonly<Record<string, string>>): AzureApi {
  const forms = azureAnswers()
  const api = restApi({
    name,
    vendor: 'Azure',
    env,
    tokens: ['AZURE_ACCESS_TOKEN'],
    base: { variable: 'AZURE_RESOURCE_MANAGER_ENDPOINT', usual: 'https://management.azure.com' },
  })
  const poolText = ({ poolName, balancerName }: PoolPath) => `backend pool ${poolName} of load balancer ${balancerName}`

  return {
    base: api.base,
    async pool(path, signal) {
      const { body } = await api.call(
        {
          method: 'GET',
          path: path.pool,
          query: version,
          doing: `read ${poolText(path)}`,
          wanted: poolText(path),
          needs: 'Microsoft.Network/loadBalancers/backendAddressPools/read',
          answer: forms.rawPool,
        },
        signal,
      )
      return readPool(body)
    },
    async balancer(path, signal) {
      const text = `load balancer ${path.balancerName}`
      const { body } = await api.call(
        {
          method: 'GET',
          path: path.balancer,
          query: version,
          doing: `read ${text}`,
          wanted: text,
          needs: 'Microsoft.Network/loadBalancers/read',
          answer: forms.balancer,
        },
        signal,
      )
      return body
    },
    async write(path, pool, etag, doing, server, signal) {
      const { headers, status } = await api.call(
        {
          method: 'PUT',
          path: path.pool,
          query: version,
          headers: { 'if-match': etag },
          body: pool,
          doing: `${doing} in ${poolText(path)}`,
          wanted: poolText(path),
          needs: 'Microsoft.Network/loadBalancers/backendAddressPools/write, and join/action of the virtual network',
          server,
          answer: z.unknown(),
        },
        signal,
      )
      const operation = headers.get('azure-asyncoperation')
      if (operation !== null) return { url: operation, by: 'Azure-AsyncOperation' }
      const location = headers.get('location')
      return location !== null && status !== 200 ? { url: location, by: 'Location' } : undefined
    },
    async follow({ url, by }, signal) {
      const facts = { doing: 'read how a change goes on', wanted: 'such operation', method: 'GET', path: url } as const
      const needs = 'Microsoft.Network/locations/operations/read'
      let answer: RestAnswer<unknown>
      try {
        answer = await api.call({ ...facts, needs, answer: by === 'Location' ? z.unknown() : forms.operation }, signal)
      } catch (error) {
        // Operations are forgotten some time after they have ended.
        if (error instanceof RestError && error.status === 404) return { state: 'ended' }
        if (by === 'Location' && isItsEnd(error)) return { state: 'failed', why: error.message }
        throw error
      }
      if (by === 'Location')
        return answer.status === 202 ? { state: 'running', detail: 'Accepted' } : { state: 'ended' }
      const { status, error } = forms.operation.parse(answer.body)
      if (status === 'Succeeded') return { state: 'ended' }
      if (status !== 'Failed' && status !== 'Canceled') return { state: 'running', detail: status }
      // A later write ends an earlier one, and holds its change: If-Match saw to that. What the pool says counts.
      if (error?.code === 'CanceledAndSupersededDueToAnotherOperation') return { state: 'ended' }
      return { state: 'failed', why: [status, error?.code, error?.message].filter(part => part).join(': ') }
    },
  }
}

/** Under Location a change that failed answers as the write itself would have. */
const isItsEnd = (error: unknown): error is RestError =>
  error instanceof RestError &&
  error.retryAfterMs === undefined &&
  (error.status === 400 || error.status === 409 || error.status === 412 || error.status === 422)
