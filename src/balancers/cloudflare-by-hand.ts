/** Enabling one origin as a command for people: the list is read, changed by jq, and written. Pure. */
import { quote } from '../fleet/quote.ts'

export interface ByHand {
  /** The pool's URL. */
  readonly url: string
  /** What the origin is called there. */
  readonly name: string
  readonly server: string
}

export function enableByHand({ url, name, server }: ByHand): string {
  const curl = 'curl -fsS -H "Authorization: Bearer $CLOUDFLARE_API_TOKEN"'
  const change = `if .name == ${JSON.stringify(name)} then .enabled = true else . end`
  const program = `{origins: [.result.origins[] | del(.disabled_at, .healthy, .failure_reason) | ${change}]}`
  return `${curl} ${quote(url)} | jq ${quote(program)} | ${curl} -X PATCH --json @- ${quote(url)} # ${server}`
}
