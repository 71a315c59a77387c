import type { Integrations } from '../integrations/directory.ts'
import { BrokerError } from '../lib/errors.ts'
import { typedHost } from '../provider/profiles.ts'
import type { Secret } from '../vault/secret.ts'
import type { Callback } from './callback.ts'

/** A code that an operator has copied, and the account host that it belongs to. */
export interface OperatorCode {
  integration: string
  domain: string
  code: Secret
}

/**
 * Returns the callback that the code would have arrived with. Throws `integration_not_found`, and
 * `bad_request` when the domain is not the host of an account.
 */
export async function callbackOfOperator(
  integrations: Integrations,
  { integration, domain, code }: OperatorCode,
): Promise<Callback> {
  const { name, profile } = await integrations.load(integration)
  const referer = typedHost(profile, domain)
  if (referer === undefined) {
    throw new BrokerError('bad_request', 'domain: it is no account host of the platform.')
  }
  return { origin: 'manual', integration: name, code, referer }
}
