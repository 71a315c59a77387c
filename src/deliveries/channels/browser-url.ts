import { isIP } from 'node:net'

/**
 * Returns true for a URL that a button can have. Telegram refuses the whole message for a button
 * that leads to a machine without a public name.
 */
export function isBrowserUrl(url: string | null): url is string {
  const parsed = url === null ? null : URL.parse(url)
  return parsed?.hostname.includes('.') === true && isIP(parsed.hostname) === 0
}
