/** Longer words are cut: nobody types them in full. */
const MAX_WORD = 60

/**
 * Splits a label, or what somebody searches for, into words for the search: letters and digits in
 * lower case, without accents that are written separately.
 */
export function wordsOf(text: string): string[] {
  const words =
    text
      .normalize('NFKC')
      .toLowerCase()
      .match(/[\p{L}\p{N}]+/gu) ?? []
  return [...new Set(words.map((word) => word.slice(0, MAX_WORD)))]
}

/** Returns the words as PostgreSQL reads a `tsvector`. Words contain no quotes. */
export function searchVector(label: string): string {
  return wordsOf(label)
    .map((word) => `'${word}'`)
    .join(' ')
}

/** Returns a `tsquery` for labels that have a word for the beginning of each searched word. */
export function prefixQuery(text: string): string {
  return wordsOf(text)
    .map((word) => `'${word}':*`)
    .join(' & ')
}
