import { BrokerError } from '../../../lib/errors.ts'
import { Secret } from '../../../vault/secret.ts'

/**
 * Reads a code, or the whole address that the provider led back to. The error repeats no part of
 * it. Throws `bad_request`.
 *
 * @returns `referer`: the account's host, if the address has it.
 */
export function readTypedCode(typed: string): { code: Secret; referer: string | undefined } {
  if (!/^https?:\/\//.test(typed)) {
    if (/^[\x21-\x7e]{20,8192}$/.test(typed)) return { code: new Secret(typed), referer: undefined }
    throw new BrokerError('bad_request', 'This is neither a code nor an address with one.')
  }
  const query = URL.parse(typed)?.searchParams
  const code = query?.get('code')
  if (code) {
    const referer = query?.get('referer')?.replace(/^https?:\/\//, '')
    return { code: new Secret(code), referer: referer || undefined }
  }
  const detail = query?.has('error')
    ? 'The address has an error in place of a code. Open the consent page again and choose “Allow” as an administrator.'
    : 'The address contains no code.'
  throw new BrokerError('bad_request', detail)
}
