/**
 * The page of Apache's balancer-manager (mod_proxy_balancer.c, balancer_display_page; the same since 2.4.6 but for quotes and columns
 * added at the end). Read strictly: what is not exactly such a page is an error, for a guess could take a server for drained.
 */
import { BalancerError } from '../errors.ts'

export interface ApacheMember {
  /** As the manager wants it back: `http://10.0.0.2:3000`. */
  readonly worker: string
  readonly route: string
  /** As it stands there: `1.00`. */
  readonly factor: string
  readonly set: number
  /** The words of its status. */
  readonly flags: ReadonlySet<Flag>
  /** Requests ever sent there since the last reload. */
  readonly elected: number
  /** Requests in flight; undefined: Apache's own count has gone below zero. */
  readonly busy: number | undefined
  /** undefined: Apache does not check its health. */
  readonly check: { readonly intervalMs: number; readonly passes: number } | undefined
}

export interface ApacheBalancer {
  readonly nonce: string
  /** What Apache calls itself there: a Referer has to name it. */
  readonly serverName: string
  readonly version: string
  /** The cookie or parameter that sessions stick by. */
  readonly sticky: string | undefined
  readonly members: readonly ApacheMember[]
}

// proxy_util.c, proxy_wstat_tbl, and what parse_wstatus adds.
const flagWords = [
  'Init',
  'Ign',
  'Drn',
  'Gnr',
  'Shut',
  'Dis',
  'Stop',
  'Err',
  'Stby',
  'Free',
  'HcFl',
  'Spar',
  'Ok',
  '???',
] as const
export type Flag = (typeof flagWords)[number]
const isFlag = (word: string): word is Flag => (flagWords as readonly string[]).includes(word)

const columns = [
  'Worker URL',
  'Route',
  'RouteRedir',
  'Factor',
  'Set',
  'Status',
  'Elected',
  'Busy',
  'Load',
  'To',
  'From',
]
const healthColumns = ['HC Method', 'HC Interval', 'Passes', 'Fails', 'HC uri', 'HC Expr']

const entities: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', '#39': "'" }
const unescaped = (html: string): string =>
  html.replace(/&(lt|gt|amp|quot|#39);/g, (whole, name: string) => entities[name] ?? whole)

/** The text of each cell of a row. */
const cells = (row: string, tag: 'td' | 'th'): string[] =>
  [...row.matchAll(new RegExp(`<${tag}>(.*?)</${tag}>`, 'gs'))].map(([, cell = '']) => cell)

const textOf = (cell: string): string => unescaped(cell.replace(/<[^>]*>/g, '')).trim()

/** Throws BalancerError that says which version answered. `where` is for messages. */
export function parsePage(html: string, balancer: string, where: string): ApacheBalancer {
  const version = textOf(/Server Version: ([^<\n]{1,200})/.exec(html)?.[1] ?? '')
  const answered = version === '' ? 'something that names no version' : version
  const strange = (what: string): never => {
    throw new BalancerError(
      `the page of the balancer-manager at ${where} cannot be read: ${what}; ${answered} answered`,
      {
        hint: 'Apache 2.4.6 or newer is expected, with `SetHandler balancer-manager` at `path`',
      },
    )
  }
  const serverName = unescaped(/<h1>Load Balancer Manager for ([^<\s]{1,300})<\/h1>/.exec(html)?.[1] ?? '')
  if (version === '' || serverName === '') return strange('it is no such page')
  if (!/<\/body>\s*<\/html>\s*$/i.test(html)) return strange('it has no end')
  // What a selected worker adds stands behind the tables.
  const [tables = ''] = html.split(/<h3>Edit (?:worker|balancer) settings for /)
  const sections = tables.split(/<h3>LoadBalancer Status for /).slice(1)
  const headings = sections.map(section =>
    /^<a href=["'][^"']*[?&]b=([^"'&]*)&(?:amp;)?nonce=([^"'&]*)["']>balancer:\/\/([^<]*)<\/a>/.exec(section),
  )
  if (headings.some(h => h === null)) return strange('a balancer has no heading as expected')
  const names = headings.map(h => unescaped(h?.[3] ?? ''))
  // Apache itself compares names of balancers without regard to case.
  const own = names.flatMap((n, i) => (n.toLowerCase() === balancer.toLowerCase() ? [i] : []))
  const [index, ...others] = own
  if (index === undefined)
    throw new BalancerError(
      `there is no balancer://${balancer} at ${where}; there are: ${names.join(', ') || 'none'}`,
      {
        hint: 'name it with `balancer`; balancers of a <VirtualHost> are shown only by a manager in it: see `virtual_host`',
      },
    )
  if (others.length > 0) return strange(`balancer://${balancer} stands there more than once`)
  const section = sections[index] ?? ''
  const found = [...section.matchAll(/<table>(.*?)<\/table>/gs)].map(([, inner = '']) => inner)
  const [settings, workers] = found
  if (found.length !== 2 || settings === undefined || workers === undefined) return strange('it has other tables')
  const sticky = textOf(cells(settings, 'td')[cells(settings, 'th').indexOf('StickySession')] ?? '')
  return {
    nonce: headings[index]?.[2] ?? '',
    serverName,
    version,
    sticky: sticky === '' || sticky === '(None)' ? undefined : sticky,
    members: membersOf(workers, strange),
  }
}

function membersOf(table: string, strange: (what: string) => never): ApacheMember[] {
  const head = cells(table, 'th')
  const health = head.length === columns.length + healthColumns.length
  const expected = health ? [...columns, ...healthColumns] : columns
  if (head.join('|') !== expected.join('|')) return strange(`the columns are ${head.join(', ') || 'none'}`)
  const rows = table.split('<tr>').slice(2)
  return rows.map(row => {
    const values = cells(row, 'td')
    if (values.length !== expected.length) return strange('a member has another number of columns than the head')
    const cell = (column: string) => values[expected.indexOf(column)] ?? ''
    const worker = /^<a href=["'][^"']*(?:[?&]|&amp;)w=([^"'&]+)&(?:amp;)?nonce=/.exec(cell('Worker URL'))?.[1]
    const count = (column: string): number => {
      const text = textOf(cell(column))
      return /^\d+$/.test(text) ? Number(text) : strange(`${column} of a member is "${text.slice(0, 40)}"`)
    }
    const words = textOf(cell('Status')).split(/\s+/)
    const flags = words.filter(isFlag)
    if (worker === undefined || flags.length !== words.length)
      return strange(`a member stands there as "${textOf(row).slice(0, 200)}"`)
    const factor = textOf(cell('Factor'))
    if (!/^\d{1,6}(\.\d{1,2})?$/.test(factor)) return strange(`Factor of a member is "${factor.slice(0, 40)}"`)
    const busy = count('Busy')
    return {
      worker: decoded(worker) ?? strange(`a member is called ${worker.slice(0, 100)}`),
      route: textOf(cell('Route')),
      factor,
      set: count('Set'),
      flags: new Set(flags),
      elected: count('Elected'),
      // It is printed without a sign.
      busy: Number.isSafeInteger(busy) ? busy : undefined,
      check: health
        ? checkOf(textOf(cell('HC Method')), textOf(cell('HC Interval')), textOf(cell('Passes')))
        : undefined,
    }
  })
}

function decoded(worker: string): string | undefined {
  try {
    return decodeURIComponent(unescaped(worker))
  } catch {
    return undefined
  }
}

const checkOf = (method: string, interval: string, passes: string): ApacheMember['check'] =>
  method === 'NONE' || method === ''
    ? undefined
    : { intervalMs: Number.parseInt(interval, 10) || 30_000, passes: Number.parseInt(passes, 10) || 1 }
