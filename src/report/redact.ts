/**
 * Takes secrets out of text (promise 7): every value, each of its lines, and the forms in which tools print them again. The forms
 * are those the runner masks (actions/runner, HostContext.cs, ValueEncoders), and shell quoting.
 */
import { type Automaton, automatonOf } from './word-search.ts'

export interface RedactedStream {
  /** Redacted text that is final; the start of what may still become a secret is held back. */
  push(text: string): string
  /** What was held back. */
  end(): string
}

export interface Redactor {
  readonly redact: (text: string) => string
  /** For text that comes in pieces: a secret that is split over two does not come through. */
  readonly redactStream: () => RedactedStream
  /** How many secrets are too short to be redacted; the caller warns about them. */
  readonly tooShort: number
}

/** Shorter text is left alone: taking out every "1" or "}" would shred the log and tell more than it hides. */
const shortest = 4
const mask = '***'

/** Base64 of a value that starts at byte 0, 1 or 2 of three, without the characters that also depend on its neighbours. */
function base64Forms(value: string): readonly string[] {
  const bytes = Buffer.from(value)
  return [0, 1, 2].flatMap(shift => {
    const whole = Buffer.concat([Buffer.alloc(shift), bytes]).toString('base64')
    const form = whole.slice(Math.ceil((shift * 8) / 6), Math.floor(((shift + bytes.length) * 8) / 6))
    // `base64` breaks its lines at 76 characters, `openssl base64` at 64.
    const wrapped = shift === 0 ? [76, 64].flatMap(width => form.match(new RegExp(`.{1,${width}}`, 'g')) ?? []) : []
    return [form, form.replaceAll('+', '-').replaceAll('/', '_'), ...wrapped.filter(line => line.length >= 16)]
  })
}

function formsOf(value: string): readonly string[] {
  const json = JSON.stringify(value).slice(1, -1)
  const uri = encodeURIComponent(value.toWellFormed())
  return [
    value,
    json,
    json.replaceAll('/', '\\/'),
    uri,
    uri.replaceAll('%20', '+'),
    uri.replace(/%[0-9A-F]{2}/g, code => code.toLowerCase()),
    value.replaceAll("'", `'\\''`),
    value.replaceAll("'", `'"'"'`),
    value.replace(/(["\\$`])/g, '\\$1'),
    value.replace(/([^\w@%+=:,./\n-])/g, '\\$1'),
    ...base64Forms(value),
  ]
}

/**
 * Makes a redactor for these values. Values, and lines of values, under 4 characters are not redacted. The time it takes grows with the
 * length of the text, whatever the secrets are.
 */
export function createRedactor(secrets: readonly string[]): Redactor {
  const values = secrets.flatMap(secret => [secret, secret.trim(), ...secret.split(/[\r\n]+/).map(line => line.trim())])
  const words = new Set(
    values
      .filter(value => value.length >= shortest)
      .flatMap(formsOf)
      .filter(form => form.length >= shortest),
  )
  const automaton = automatonOf(words)
  const redactStream = () => streamOver(automaton)
  return {
    redact(text) {
      const stream = redactStream()
      return stream.push(text) + stream.end()
    },
    redactStream,
    tooShort: new Set(secrets.filter(secret => secret.length > 0 && secret.trim().length < shortest)).size,
  }
}

/**
 * Every place where a word was found is taken out, overlapping ones as one. What is held back is exactly what could be the start of
 * a word, so ordinary text passes at once.
 */
function streamOver(automaton: Automaton): RedactedStream {
  let state = 0
  /** Text that is not handed out yet; it starts at position `start` of the whole stream. */
  let held = ''
  let start = 0
  /** Up to here everything is taken out and its mask is written. */
  let maskedTo = -1
  /** Places found that are not handed out yet, in order, none touching the next. */
  let found: { from: number; to: number }[] = []

  const note = (from: number, to: number) => {
    let first = from
    for (let last = found.at(-1); last && last.to >= first; last = found.at(-1)) {
      first = Math.min(first, last.from)
      found.pop()
    }
    found.push({ from: first, to })
  }

  /** Hands out everything before `end`; no word found later starts before it. */
  const handOut = (end: number): string => {
    let text = ''
    let at = start
    const rest: typeof found = []
    for (const place of found) {
      if (place.from >= end) {
        rest.push(place)
        continue
      }
      const plainFrom = Math.max(at, maskedTo)
      if (place.from > plainFrom) text += held.slice(plainFrom - start, place.from - start)
      if (maskedTo < place.from) text += mask
      // Words are found by their ends, so a later place always ends later.
      maskedTo = place.to
      at = Math.max(at, Math.min(place.to, end))
    }
    const plainFrom = Math.max(at, maskedTo)
    if (end > plainFrom) text += held.slice(plainFrom - start, end - start)
    held = held.slice(end - start)
    start = end
    found = rest
    return text
  }

  return {
    push(text) {
      const before = start + held.length
      for (let i = 0; i < text.length; i++) {
        state = automaton.next(state, text.charCodeAt(i))
        const length = automaton.wordAt(state)
        if (length > 0) note(before + i + 1 - length, before + i + 1)
      }
      held += text
      return handOut(before + text.length - automaton.depthOf(state))
    },
    end() {
      const text = handOut(start + held.length)
      state = 0
      return text
    },
  }
}
