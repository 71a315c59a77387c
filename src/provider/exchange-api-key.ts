import type { Secret } from '../vault/secret.ts'
import { CallFailed, type CallResponse, call } from './call.ts'
import { settingNames } from './profile-table.ts'
import type { OAuthClient } from './profiles.ts'

const LIMIT_MS = 15_000

interface ApiKeyUser {
  login: string
  apiKey: Secret
}

/**
 * How the exchange ended. `unclear`: the provider may have accepted it, and its code may still
 * arrive.
 */
export type ExchangeAnswer =
  | { kind: 'accepted' }
  | { kind: 'unclear' | 'not_reached'; failure: string }
  | { kind: 'too_soon'; retryAfterSeconds: number | undefined }
  | { kind: 'refused'; code: ExchangeRefusal; status: number }

/** Explains every refusal of an API key, by its code (docs/provider.md, part 6). */
export const EXCHANGE_REFUSALS = {
  api_key_rejected: {
    problem: 'The provider does not accept the login, the API key, or the integration’s keys.',
    remedy: `Use the login’s own API key from its profile in the account, and the e-mail it logs in with. Compare ${settingNames('CLIENT_ID')} and ${settingNames('CLIENT_SECRET')} with the integration’s keys.`,
  },
  api_key_no_rights: {
    problem: 'The user lacks the rights, or the integration is not installed in the account.',
    remedy:
      'Install the integration in the account first, and use the login and API key of an administrator.',
  },
  api_key_no_account: {
    problem: 'There is no account at this host.',
    remedy: 'Correct the domain: it is the account’s own, such as demo.amocrm.ru.',
  },
  api_key_unknown_refusal: {
    problem: 'The provider refused for a reason that the broker does not know.',
    remedy: 'Look at the broker’s log; consent through a connect link instead.',
  },
} as const satisfies Record<string, { problem: string; remedy: string }>

export type ExchangeRefusal = keyof typeof EXCHANGE_REFUSALS

/**
 * Asks for a code, which the provider's server sends to the redirect URI. A failed call is a
 * result, not an exception.
 */
export async function exchangeApiKey(
  client: OAuthClient,
  domain: string,
  user: ApiKeyUser,
  state: string,
): Promise<ExchangeAnswer> {
  const fields = {
    login: user.login,
    api_key: user.apiKey.reveal(),
    client_uuid: client.clientId,
    client_secret: client.clientSecret.reveal(),
    state,
  }
  try {
    const answer = await call(client, {
      method: 'POST',
      url: `https://${domain}/oauth2/exchange_api_key`,
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify(fields),
      limitMs: LIMIT_MS,
    })
    return classify(answer)
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error
    return { kind: error.wasWritten ? 'unclear' : 'not_reached', failure: error.code }
  }
}

function classify({ status, retryAfterSeconds }: CallResponse): ExchangeAnswer {
  if (status >= 200 && status < 300) return { kind: 'accepted' }
  if (status === 429) return { kind: 'too_soon', retryAfterSeconds }
  if (status >= 500) return { kind: 'unclear', failure: `HTTP ${status}` }
  const refused = (code: ExchangeRefusal) => ({ kind: 'refused' as const, code, status })
  if (status === 400 || status === 401) return refused('api_key_rejected')
  if (status === 403) return refused('api_key_no_rights')
  return refused(status === 404 ? 'api_key_no_account' : 'api_key_unknown_refusal')
}
