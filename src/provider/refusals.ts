import type { CallAnswer } from './call.ts'

/**
 * What a refusal of the token endpoint means for the token that was presented (provider page, part 3):
 * `permanent` it will never work; `configuration` our side of the integration is wrong, the token is unspent;
 * `moved` not here, unspent; `not_spent` later, unspent; `ambiguous` it may have been spent;
 * `unknown` refused for a reason that no list has.
 */
export type RefusalKind =
  | 'permanent'
  | 'configuration'
  | 'moved'
  | 'not_spent'
  | 'ambiguous'
  | 'unknown'

/** What is wrong, for a person, and the remedy that names the setting to look at. */
interface Explanation {
  kind: RefusalKind
  problem: string
  remedy: string
}

const CONSENT_AGAIN = 'Make a new connect link and let an administrator of the account consent.'
const CHECK_SECRET =
  'Compare AMO_CLIENT_ID and AMO_CLIENT_SECRET (KOMMO_…) with the keys shown in the integration’s settings.'
const WAIT = 'Nothing to do: the broker tries again by itself.'

/** Every refusal by its code. */
export const REFUSALS = {
  token_revoked: {
    kind: 'permanent',
    problem: 'The refresh token was used before or revoked, or the integration was switched off.',
    remedy: CONSENT_AGAIN,
  },
  token_expired: {
    kind: 'permanent',
    problem: 'The refresh token is older than three months.',
    remedy: CONSENT_AGAIN,
  },
  token_unreadable: {
    kind: 'permanent',
    problem: 'The provider cannot read the refresh token.',
    remedy: CONSENT_AGAIN,
  },
  token_of_other_client: {
    kind: 'permanent',
    problem: 'The refresh token belongs to another integration.',
    remedy: CONSENT_AGAIN,
  },
  code_expired: {
    kind: 'permanent',
    problem: 'The authorization code is older than 20 minutes.',
    remedy: CONSENT_AGAIN,
  },
  code_used: {
    kind: 'permanent',
    problem: 'The authorization code was used before.',
    remedy: CONSENT_AGAIN,
  },
  code_unreadable: {
    kind: 'permanent',
    problem: 'The provider cannot read the authorization code.',
    remedy: CONSENT_AGAIN,
  },
  code_of_other_client: {
    kind: 'configuration',
    problem: 'The authorization code was issued to another integration.',
    remedy:
      'Compare AMO_CLIENT_ID (KOMMO_CLIENT_ID) with the integration whose redirect URI this is.',
  },
  client_rejected: {
    kind: 'configuration',
    problem: 'The provider does not accept the client ID with this client secret.',
    remedy: CHECK_SECRET,
  },
  client_id_malformed: {
    kind: 'configuration',
    problem: 'The client ID is malformed.',
    remedy: 'Correct AMO_CLIENT_ID (KOMMO_CLIENT_ID): it is the integration’s ID.',
  },
  client_secret_malformed: {
    kind: 'configuration',
    problem: 'The client secret is malformed.',
    remedy: 'Correct AMO_CLIENT_SECRET (KOMMO_CLIENT_SECRET): it is the integration’s secret key.',
  },
  redirect_uri_mismatch: {
    kind: 'configuration',
    problem: 'The redirect URI is not the one in the integration’s settings.',
    remedy:
      'Make AMO_REDIRECT_URI (KOMMO_REDIRECT_URI) the same as in the integration, byte for byte.',
  },
  invalid_account: {
    kind: 'moved',
    problem: 'The account is not at this host.',
    remedy: WAIT,
  },
  account_not_found: {
    kind: 'moved',
    problem: 'There is no account at this host: it was renamed or is gone.',
    remedy: WAIT,
  },
  unauthorized_without_hint: {
    kind: 'moved',
    problem: 'The provider refused without a reason: the client, the host or the grant is wrong.',
    remedy: CHECK_SECRET,
  },
  redirected: {
    kind: 'moved',
    problem: 'The token endpoint answered with a redirect, which is not followed.',
    remedy: WAIT,
  },
  rate_limited: {
    kind: 'not_spent',
    problem: 'Too many requests reach the provider with this integration.',
    remedy:
      'Lower PACE_PER_SECOND if it lasts: the integration’s services share 7 requests a second.',
  },
  blocked: {
    kind: 'not_spent',
    problem: 'The provider blocks this address or account, which may last for hours.',
    remedy: 'Look for a service that sends too many requests from this address.',
  },
  gateway_error: {
    kind: 'ambiguous',
    problem: 'A gateway of the provider failed: the token may have been spent.',
    remedy: WAIT,
  },
  server_error: {
    kind: 'ambiguous',
    problem: 'The provider failed: the token may have been spent.',
    remedy: WAIT,
  },
  unreadable_answer: {
    kind: 'ambiguous',
    problem: 'The provider’s answer holds no token pair: the token may have been spent.',
    remedy: WAIT,
  },
  no_answer: {
    kind: 'ambiguous',
    problem: 'The provider did not answer: the token may have been spent.',
    remedy: WAIT,
  },
  not_reached: {
    kind: 'not_spent',
    problem: 'The provider could not be reached.',
    remedy: 'Check DNS, the firewall and the proxy between the broker and the account’s host.',
  },
  unknown_refusal: {
    kind: 'unknown',
    problem: 'The provider refused for a reason that the broker does not know.',
    remedy: 'Look at the broker’s log, and at the integration’s settings.',
  },
} as const satisfies Record<string, Explanation>

export type RefusalCode = keyof typeof REFUSALS

/** `hint` as the provider writes it; `title` and `detail` are localised and never looked at. */
const HINTS = new Map<string | undefined, RefusalCode>(
  Object.entries({
    'Token has been revoked': 'token_revoked',
    'Token has expired': 'token_expired',
    'Cannot decrypt the refresh token': 'token_unreadable',
    'Token is not linked to client': 'token_of_other_client',
    'Check the `client_id` parameter': 'client_id_malformed',
    'Check the `client_secret` parameter': 'client_secret_malformed',
    'Redirect URI is not associated with client': 'redirect_uri_mismatch',
    'Invalid account': 'invalid_account',
    'Authorization code has expired': 'code_expired',
    'Authorization code has been revoked': 'code_used',
    'Cannot decrypt the authorization code': 'code_unreadable',
    'Authorization code was not issued to this client': 'code_of_other_client',
  }),
)

/** Sorts an answer that is no token pair by its status and hint. */
export function sortRefusal(answer: CallAnswer): RefusalCode {
  const { status } = answer
  if (status >= 200 && status < 300) return 'unreadable_answer'
  if (status < 400) return 'redirected'
  if (status === 429) return 'rate_limited'
  if (status === 502 || status === 504) return 'gateway_error'
  if (status >= 500) return 'server_error'
  const hint = hintOf(answer)
  const known = HINTS.get(hint)
  if (known !== undefined) return known
  // A page, not a problem document, is the front door's: it refuses before anything is spent.
  if (status === 403 && answer.contentType === 'text/html') return 'blocked'
  if (hint !== undefined) return 'unknown_refusal'
  if (status === 404) return 'account_not_found'
  if (status === 401) return 'unauthorized_without_hint'
  return 'unknown_refusal'
}

function hintOf(answer: CallAnswer): string | undefined {
  try {
    const { hint } = JSON.parse(answer.body)
    return typeof hint === 'string' ? hint : undefined
  } catch {
    return undefined
  }
}
