/** Enough for "chat not found", and too little for a page. */
const MAX_LENGTH = 200
/** Shorter parts of a URL, such as `v1`, are no secrets. */
const MIN_SECRET_LENGTH = 6

/**
 * Returns the beginning of a response for people, on one line. Receivers may repeat the URL in an
 * error, and the URL of Telegram and of Slack is a secret.
 *
 * @returns null for an empty response, and for one that repeats a part of the URL
 */
export function excerptOf(body: string, url: URL): string | null {
  const lower = body.toLowerCase()
  if (partsOf(url).some((part) => lower.includes(part.toLowerCase()))) return null
  const text = body.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\s]+/gu, ' ').trim()
  return text === '' ? null : text.slice(0, MAX_LENGTH).toWellFormed()
}

/** Returns the parts of a URL that may be secret, as they are written and decoded. */
function partsOf({ pathname, search }: URL): string[] {
  const written = `${pathname}${search}`.split(/[/?&=]/)
  return [...written, ...written.map(decoded)].filter((part) => part.length >= MIN_SECRET_LENGTH)
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
