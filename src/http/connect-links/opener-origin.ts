import { BrokerError } from '../../lib/errors.ts'

/** Returns an origin as browsers write it. Throws `bad_request`. */
export function readOpenerOrigin(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const url = URL.parse(text)
  if (url === null) throw new BrokerError('bad_request', 'opener_origin: this is not an origin.')
  return url.origin
}
