import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { checkWebUrl } from '../config/urls.ts'
import { BrokerError } from '../lib/errors.ts'
import { isSandboxAddress } from '../lib/public-lookup.ts'

/** Applies the checks of the settings to a redirect URI from the API. Throws `bad_request`. */
export function checkRedirectUri(redirectUri: string, publicUrl: string | null): void {
  checkCopied('redirect_uri', redirectUri)
  const problems: string[] = []
  checkWebUrl('redirect_uri', redirectUri, problems)
  const [problem] = problems
  if (problem !== undefined) throw new BrokerError('bad_request', problem)
  const { origin, username, password } = new URL(redirectUri)
  if (username !== '' || password !== '') {
    throw new BrokerError('bad_request', 'redirect_uri: it must hold no name and no password.')
  }
  if (publicUrl !== null && origin !== publicUrl) {
    const detail =
      'redirect_uri: it must be on the origin of PUBLIC_URL, the cookie is bound to it.'
    throw new BrokerError('bad_request', detail)
  }
}

/**
 * Checks a sandbox of the API: an origin on this machine or at a public address, because every call
 * is made to it with the client secret. Only the settings can name one at a private address. Names
 * are resolved again for each call. Throws `bad_request`.
 */
export async function checkSandboxOrigin(
  sandboxOrigin: string | null,
  trusted: ReadonlySet<string>,
): Promise<void> {
  if (sandboxOrigin === null || trusted.has(sandboxOrigin)) return
  const url = URL.parse(sandboxOrigin)
  if (url === null || url.origin !== sandboxOrigin) {
    const detail = 'sandbox_origin: it is no origin, such as http://127.0.0.1:3002.'
    throw new BrokerError('bad_request', detail)
  }
  const addresses = await addressesOf(url.hostname.replace(/^\[|\]$/g, ''))
  if (addresses.every((address) => isSandboxAddress(address, false))) return
  const detail =
    'sandbox_origin: its address is not public. One at a private address is set by AMO_SANDBOX_ORIGIN or KOMMO_SANDBOX_ORIGIN.'
  throw new BrokerError('bad_request', detail)
}

/** Returns no address when the name does not resolve now. */
async function addressesOf(hostname: string): Promise<string[]> {
  if (isIP(hostname) !== 0) return [hostname]
  try {
    return (await lookup(hostname, { all: true })).map(({ address }) => address)
  } catch {
    return []
  }
}

const AT_AN_END = /^[\s\ufeff"'`]|[\s\ufeff"'`]$/
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
const INSIDE = /[\u0000-\u001f\u007f\ufeff]/

/**
 * Checks a value that a person copied from the provider's page. `echo`, editors and shells leave
 * line breaks, blanks, byte order marks and quotation marks at its ends. Never repeats the value.
 * Throws `bad_request`.
 */
export function checkCopied(field: string, value: string | undefined): void {
  if (value === undefined) return
  if (AT_AN_END.test(value)) {
    const detail = `${field}: it begins or ends with white space, a line break, a byte order mark or a quotation mark. Remove it.`
    throw new BrokerError('bad_request', detail)
  }
  if (!INSIDE.test(value)) return
  const detail = `${field}: it contains a line break or another control character. Remove it.`
  throw new BrokerError('bad_request', detail)
}
