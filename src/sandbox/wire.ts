/** Converts an object's own keys to snake_case, one level deep. Omits undefined values. */
export function snakeKeys(value: object): Record<string, unknown> {
  const entries = Object.entries(value).filter(([, field]) => field !== undefined)
  return Object.fromEntries(entries.map(([key, field]) => [snake(key), field]))
}

function snake(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
