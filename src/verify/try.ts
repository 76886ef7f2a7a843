/** What one try of a check came to. `tail`: the last lines that a command printed. */
export type Try =
  | { readonly is: 'good'; readonly detail: string }
  /** Nothing wrong with the check: refused, reset, timed out, 5xx, an unexpected answer. */
  | { readonly is: 'not yet'; readonly detail: string; readonly tail?: string }
  /** If it stays, the check itself is wrong: 401, 403, 404, a TLS error, a command that is not there. */
  | { readonly is: 'wrong'; readonly detail: string; readonly tail?: string }
  /** It can never be tried. */
  | { readonly is: 'impossible'; readonly detail: string; readonly hint: string }

/** An answer's start, for people, at most 500 characters. */
export const excerpt = (text: string): string => text.trim().slice(0, 500)
