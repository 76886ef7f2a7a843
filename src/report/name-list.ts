/** Many names in few words: `web[001-300], db1`, as ranges are written in a manifest. */

interface Run {
  readonly before: string
  readonly after: string
  readonly first: string
  readonly last: string
}

const parts = (name: string): Run | null => {
  const found = /^(.*?)(\d{1,9})(\D*)$/.exec(name)
  const [, before, number, after] = found ?? []
  return before === undefined || number === undefined || after === undefined
    ? null
    : { before, after, first: number, last: number }
}

const follows = (run: Run, next: Run): boolean =>
  run.before === next.before &&
  run.after === next.after &&
  run.last.length <= next.first.length &&
  (run.last.length === next.first.length || !next.first.startsWith('0')) &&
  Number(next.first) === Number(run.last) + 1

/** Names that count up become one range; the order stays. */
export function foldNames(names: readonly string[]): readonly string[] {
  const folded: (Run | string)[] = []
  for (const name of names) {
    const run = parts(name)
    const last = folded.at(-1)
    if (run && typeof last === 'object' && follows(last, run)) folded[folded.length - 1] = { ...last, last: run.last }
    else folded.push(run ?? name)
  }
  return folded.map(run => {
    if (typeof run === 'string') return run
    const range = run.first === run.last ? run.first : `[${run.first}-${run.last}]`
    return `${run.before}${range}${run.after}`
  })
}

/** Names in one phrase; of more than `most` (after folding) the rest is a number. */
export function nameList(names: readonly string[], most = 20): string {
  const folded = foldNames(names)
  if (folded.length <= most) return folded.join(', ')
  return `${folded.slice(0, most).join(', ')} and ${folded.length - most} more`
}

/** A message about a server often begins with its name; beside the name it need not. */
export const withoutName = (text: string, server: string): string =>
  text.startsWith(`${server}: `) ? text.slice(server.length + 2) : text

/** `1 server`, `3 servers`. */
export const count = (n: number, one: string, many = `${one}s`): string =>
  `${n.toLocaleString('en-US')} ${n === 1 ? one : many}`
