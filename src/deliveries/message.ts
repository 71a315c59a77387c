/** A message for people, before a channel formats it. */
export interface Message {
  /** Our own words, without values. */
  title: string
  /** Our own words, with placeholders such as `{account}`. */
  body: string
  /** The values of the placeholders. Strangers wrote some of them. */
  values: Readonly<Record<string, string>>
  /** The text of the button. */
  button: string
  /** The page of the console. Null: there is none. */
  url: string | null
}

/** A longer value is cut. A domain has at most 253 characters. */
const MAX_VALUE_LENGTH = 260

/**
 * Replaces the placeholders of a text. `ours` renders our own words, and `theirs` the values, from
 * which control characters and bidirectional marks are removed.
 */
export function fillText(
  text: string,
  values: Message['values'],
  ours: (words: string) => string,
  theirs: (value: string) => string,
): string {
  return text
    .split(/(\{[a-z_]+\})/)
    .map((part) => {
      const name = /^\{([a-z_]+)\}$/.exec(part)?.[1]
      return name === undefined ? ours(part) : theirs(plain(values[name] ?? '?'))
    })
    .join('')
}

function plain(value: string): string {
  return value.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, ' ').slice(0, MAX_VALUE_LENGTH)
}
