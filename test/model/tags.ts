/**
 * What a script means. The builders of scripts are the real ones; each leaves a line in its text that says who made it and of what, and
 * so the model knows what the text it is given would do. A text without such a line does nothing that the model knows: that is an error.
 */
export interface Tag {
  readonly of: string
  readonly args: readonly never[]
}

let tags: Tag[] = []

export const forgetTags = (): void => {
  tags = []
}

type Builder = (...args: never[]) => string

/** The same functions, those of these names with a line more in their text. */
export function tagged<M extends object>(module: M, ...names: (keyof M & string)[]): M {
  const more = names.map(of => {
    const build = module[of] as unknown as Builder
    return [
      of,
      (...args: never[]) => {
        const text = build(...args)
        tags.push({ of, args })
        return `${text}\n#@${tags.length - 1}\n`
      },
    ]
  })
  return { ...module, ...Object.fromEntries(more) }
}

/** The tags of a text, from within to without. */
export function tagsOf(text: string): readonly Tag[] {
  return [...text.matchAll(/^#@(\d+)$/gm)].flatMap(([, index]) => tags[Number(index)] ?? [])
}
