/** Where a preview lives: one directory per pull request that ends in its number, and is nobody else's. Pure. */
import { InputError } from '../errors.ts'

export interface PreviewPath {
  /** Absolute, as it is on the server. */
  readonly path: string
  readonly parent: string
  /** Its last part. */
  readonly name: string
  /** What of the last part stands before the number. */
  readonly stem: string
}

/** Levels below the root. */
const leastLevels = 3

const refuse = (path: string, why: string): never => {
  throw new InputError(`the preview's path ${JSON.stringify(path)} cannot be used: ${why}`, {
    hint: 'previews.release.path is a directory of previews alone, for example /srv/previews/pr-${{ pull_request.number }}',
  })
}

/** A number of a pull request as people and paths have it: digits, no zero in front. Throws InputError. */
export function checkedNumber(number: number): number {
  if (!Number.isSafeInteger(number) || number < 1 || number > 999_999_999)
    throw new InputError(`${number} is not the number of a pull request`, { hint: 'write its number alone, as 12' })
  return number
}

/**
 * The path of a preview. `at` resolves the manifest's path for a number; asked for two numbers it shows that the number stands in it
 * once, at the end. Throws InputError.
 */
export function previewPath(at: (number: number) => string, number: number): PreviewPath {
  const path = at(checkedNumber(number))
  const [, ...parts] = path.split('/')
  if (!path.startsWith('/') || parts.some(part => /^\.{0,2}$/.test(part)) || /[\0-\x1f\x7f]/.test(path))
    refuse(path, 'an absolute path without control characters, "//", "." and ".." is expected')
  if (parts.length < leastLevels) refuse(path, `it is less than ${leastLevels} levels deep`)
  const name = parts.at(-1) ?? ''
  const stem = name.slice(0, -String(number).length)
  if (name !== `${stem}${number}` || /\d$/.test(stem))
    refuse(path, `its last part does not end in the number ${number} by itself`)
  const parent = `/${parts.slice(0, -1).join('/')}`
  const another = number === 7 ? 8 : 7
  if (at(another) !== `${parent}/${stem}${another}`)
    refuse(path, 'the number of the pull request stands in it more than once')
  return { path, parent, name, stem }
}

/** Whether one path is the other, holds it or lies in it. */
export const overlap = (a: string, b: string): boolean => `${a}/`.startsWith(`${b}/`) || `${b}/`.startsWith(`${a}/`)

/** Whether another path meets the preview of any number: `/srv/previews/pr-12` is where that of 12 would be. */
export function meetsAny({ path, parent, stem }: PreviewPath, other: string): boolean {
  if (overlap(path, other)) return true
  const start = `${parent}/${stem}`
  return other.startsWith(start) && /^[1-9]\d*(\/|$)/.test(other.slice(start.length))
}

/** A host's name as it counts: DNS knows no capitals, and a dot at the end says no more than that the name is whole. */
export const plainHost = (host: string): string => host.toLowerCase().replace(/\.$/, '')
