import { checkUrl } from '../config-checks.ts'
import { BrokerError } from '../errors.ts'

/** As the settings are checked at the start. Throws `bad_request`. */
export function checkRedirectUri(redirectUri: string, publicUrl: string | null): void {
  const problems: string[] = []
  checkUrl('redirect_uri', redirectUri, ['https:', 'http:'], problems)
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

/** Throws `bad_request` unless it is an origin and nothing more, for every call is made to it as it stands. */
export function checkSandboxOrigin(sandboxOrigin: string | null): void {
  if (sandboxOrigin === null || URL.parse(sandboxOrigin)?.origin === sandboxOrigin) return
  const detail = 'sandbox_origin: it is no origin, such as http://127.0.0.1:3002.'
  throw new BrokerError('bad_request', detail)
}
