/** Versions as https://semver.org/spec/v2.0.0.html has them, without build metadata, which a tag's order would not know. */

const number = '(0|[1-9][0-9]*)'
const form = new RegExp(`^v?${number}\\.${number}\\.${number}(?:-([0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*))?$`)

/** `1.2.3`, `v1.2.3` or `1.2.3-rc.1`; throws for anything else. `text` has no v. */
export function parseVersion(text) {
  const [, major, minor, patch, pre = null] = form.exec(text) ?? []
  const isWrong = major === undefined || pre?.split('.').some(part => /^0[0-9]+$/.test(part))
  if (isWrong) throw new Error(`“${text}” is no version like 1.2.3 or 1.2.3-rc.1`)
  return { text: text.replace(/^v/, ''), major: Number(major), minor: Number(minor), patch: Number(patch), pre }
}

const isNumber = part => /^[0-9]+$/.test(part)

function comparePre(a, b) {
  const [left, right] = [a.split('.'), b.split('.')]
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const [l, r] = [left[i], right[i]]
    if (l === r) continue
    if (isNumber(l) && isNumber(r)) return Number(l) - Number(r)
    if (isNumber(l) !== isNumber(r)) return isNumber(l) ? -1 : 1
    return l < r ? -1 : 1
  }
  return left.length - right.length
}

/** For sort: a pre-release is before its version. */
export function byPrecedence(a, b) {
  const numbers = a.major - b.major || a.minor - b.minor || a.patch - b.patch
  if (numbers !== 0) return numbers
  if (a.pre === null || b.pre === null) return (a.pre === null ? 1 : 0) - (b.pre === null ? 1 : 0)
  return comparePre(a.pre, b.pre)
}

/** The versions among tags, lowest first; `v1` and other tags are none. */
export function versionsOf(tags) {
  const found = tags.flatMap(tag => {
    try {
      return tag.startsWith('v') ? [parseVersion(tag)] : []
    } catch {
      return []
    }
  })
  return found.sort(byPrecedence)
}

/** `v1`; null below 1.0.0, where each minor version may break what was. */
export const majorTagOf = version => (version.major === 0 ? null : `v${version.major}`)
