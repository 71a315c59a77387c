const QUOTE_AT_AN_END = /^["'`]|["'`]$/
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
const CONTROL_CHARACTER = /[\u0000-\u001f\u007f\ufeff]/

/**
 * Removes white space, line breaks and byte order marks at both ends of every setting. They come
 * from `echo`, editors and Windows, and no setting can contain them on purpose.
 *
 * Adds a problem for a value in quotes (`docker run --env-file` keeps them) and for a control
 * character inside a value: what was meant is not certain.
 */
export function cleanValues(
  variables: NodeJS.ProcessEnv,
  names: string[],
  problems: string[],
): NodeJS.ProcessEnv {
  const cleaned = { ...variables }
  for (const name of names) {
    // `trim` removes the byte order mark as well.
    const value = variables[name]?.trim()
    if (value === undefined) continue
    cleaned[name] = value
    if (QUOTE_AT_AN_END.test(value)) {
      problems.push(`${name} begins or ends with a quotation mark: remove the quotation marks`)
    }
    if (CONTROL_CHARACTER.test(value)) {
      problems.push(`${name} contains a line break or another control character: remove it`)
    }
  }
  return cleaned
}
