import type { Secret } from '../vault/secret.ts'
import { type CallAnswer, CallFailed, call } from './call.ts'
import type { OAuthClient } from './profiles.ts'

const LIMIT_MS = 15_000

export interface ApiKeyUser {
  login: string
  apiKey: Secret
}

/** How the provider took it. `unclear`: it may have taken it, its code may still come. */
export type ExchangeAnswer =
  | { kind: 'accepted' }
  | { kind: 'unclear' | 'not_reached'; failure: string }
  | { kind: 'too_soon'; retryAfterSeconds: number | undefined }
  | { kind: 'refused'; code: ExchangeRefusal; status: number }

/** Every refusal of an API key by its code (provider page, part 6). */
export const EXCHANGE_REFUSALS = {
  api_key_rejected: {
    problem: 'The provider does not accept the login, the API key, or the integration’s keys.',
    remedy:
      'Use the login’s own API key from its profile in the account, and the e-mail it logs in with; compare AMO_CLIENT_ID and AMO_CLIENT_SECRET with the integration’s keys.',
  },
  api_key_no_rights: {
    problem: 'The user has no rights for it, or the integration is not installed in the account.',
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

/** Asks for a code that the provider's server brings to the redirect URI. Never throws: every end is an answer. */
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
    return sort(answer)
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error
    return { kind: error.wasWritten ? 'unclear' : 'not_reached', failure: error.code }
  }
}

function sort({ status, retryAfterSeconds }: CallAnswer): ExchangeAnswer {
  if (status >= 200 && status < 300) return { kind: 'accepted' }
  if (status === 429) return { kind: 'too_soon', retryAfterSeconds }
  if (status >= 500) return { kind: 'unclear', failure: `HTTP ${status}` }
  const refused = (code: ExchangeRefusal) => ({ kind: 'refused' as const, code, status })
  if (status === 400 || status === 401) return refused('api_key_rejected')
  if (status === 403) return refused('api_key_no_rights')
  return refused(status === 404 ? 'api_key_no_account' : 'api_key_unknown_refusal')
}
