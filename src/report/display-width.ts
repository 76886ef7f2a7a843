/** How many columns of a terminal a text takes, and text cut to so many. */

/** Take no column of their own: combining marks, joiners and other formats, variation selectors. */
const nothing = /^[\p{Mn}\p{Me}\p{Cf}]$/u
/**
 * Two columns: what Unicode's East Asian Width (UAX 11) has as wide or fullwidth, by scripts and blocks, and what is shown as a picture
 * by itself (UTS 51). Halfwidth forms are taken out before.
 */
const wide =
  /^[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\p{sc=Bopomofo}\p{sc=Yi}\p{sc=Tangut}\p{Emoji_Presentation}\u3000-\u303e\u3099-\u30ff\uff01-\uff60\uffe0-\uffe6]$/u
const halfwidth = /^[\uff61-\uffdc\uffe8-\uffee]$/u

const segments = new Intl.Segmenter('en', { granularity: 'grapheme' })

/** Columns of one character as a person sees it. A picture that is made of several counts once; so does its request for colours, U+FE0F. */
function widthOf(grapheme: string): number {
  const points = [...grapheme].filter(point => !nothing.test(point))
  const [first] = points
  if (first === undefined) return 0
  if (points.some(point => wide.test(point) && !halfwidth.test(point)) || grapheme.includes('\ufe0f')) return 2
  return 1
}

/** No control may be in the text. */
export function displayWidth(text: string): number {
  // Most text is plain, and the segmenter is slow.
  if (/^[\x20-\x7e]*$/.test(text)) return text.length
  let width = 0
  for (const { segment } of segments.segment(text)) width += widthOf(segment)
  return width
}

/** At most so many columns, and `…` where something is missing. */
export function cutToWidth(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text
  let kept = ''
  let width = 0
  for (const { segment } of segments.segment(text)) {
    width += widthOf(segment)
    if (width > columns - 1) break
    kept += segment
  }
  return columns < 1 ? '' : `${kept}…`
}
