/** Points in time in words. Pure. */

/** ISO 8601; `unknown` for what is no time. Seconds since 1970, by the server's clock. */
export const isoTime = (seconds: number): string => {
  const at = new Date(seconds * 1000)
  return Number.isNaN(at.getTime()) ? 'unknown' : at.toISOString()
}

/** `2026-11-21 12:07:28 UTC`; seconds since 1970, by the server's clock. */
export const clockTime = (seconds: number): string => {
  const iso = isoTime(seconds)
  return iso === 'unknown' ? 'at an unknown time' : `${iso.slice(0, 19).replace('T', ' ')} UTC`
}
