import { Type } from '../lib/type.ts'
import type { CallResponse } from './call.ts'
import { parseJson } from './parse-json.ts'
import { type Profile, settingNames } from './profile-table.ts'

/**
 * The effect of a refusal on the token that was presented (docs/provider.md, part 3):
 * `permanent`: it will never work. `configuration`: the integration is set up wrongly, the token is
 * unspent. `moved`: the account is not at this host, unspent. `not_spent`: later, unspent.
 * `ambiguous`: it may have been spent. `unknown`: no list has the reason.
 */
export type RefusalKind =
  | 'permanent'
  | 'configuration'
  | 'moved'
  | 'not_spent'
  | 'ambiguous'
  | 'unknown'

interface Explanation {
  kind: RefusalKind
  problem: string
  remedy: string
}

const CONSENT_AGAIN = 'Make a new connect link and let an administrator of the account consent.'
const CLIENT_ID = settingNames('CLIENT_ID')
const CLIENT_SECRET = settingNames('CLIENT_SECRET')
const REDIRECT_URI = settingNames('REDIRECT_URI')
const CHECK_SECRET = `Compare ${CLIENT_ID} and ${CLIENT_SECRET} with the keys shown in the integration’s settings.`
const WAIT = 'Nothing to do: the broker tries again by itself.'

/** Explains every refusal, by its code. */
export const REFUSALS = {
  token_revoked: {
    kind: 'permanent',
    problem:
      'The customer revoked the access or switched the integration off, or the refresh token was used before, by another service. The provider’s response is the same in both cases.',
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
    remedy: `Compare ${CLIENT_ID} with the integration whose redirect URI this is.`,
  },
  client_rejected: {
    kind: 'configuration',
    problem: 'The provider does not accept the client ID with this client secret.',
    remedy: CHECK_SECRET,
  },
  client_id_malformed: {
    kind: 'configuration',
    problem: 'The client ID is malformed.',
    remedy: `Correct ${CLIENT_ID}: it is the integration’s ID.`,
  },
  client_secret_malformed: {
    kind: 'configuration',
    problem: 'The client secret is malformed.',
    remedy: `Correct ${CLIENT_SECRET}: it is the integration’s secret key.`,
  },
  redirect_uri_mismatch: {
    kind: 'configuration',
    problem: 'The redirect URI is not the one in the integration’s settings.',
    remedy: `Make ${REDIRECT_URI} the same as in the integration, byte for byte.`,
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
  account_unpaid: {
    kind: 'unknown',
    problem: 'The provider wants the account to be paid for first (402).',
    remedy: `Renew the account’s subscription. If its status is reauth_required: ${CONSENT_AGAIN}`,
  },
  unknown_refusal: {
    kind: 'unknown',
    problem: 'The provider refused for a reason that the broker does not know.',
    remedy: `Look at the broker’s log, and at the integration’s settings. If its status is reauth_required: ${CONSENT_AGAIN}`,
  },
} as const satisfies Record<string, Explanation>

export type RefusalCode = keyof typeof REFUSALS

/** Classifies a response that holds no token pair, by its status and the profile's hints. */
export function classifyRefusal(response: CallResponse, { hints }: Profile): RefusalCode {
  const { status } = response
  if (status >= 200 && status < 300) return 'unreadable_answer'
  if (status < 400) return 'redirected'
  if (status === 429) return 'rate_limited'
  if (status === 502 || status === 504) return 'gateway_error'
  if (status >= 500) return 'server_error'
  const hint = parseJson(Hinted, response.body)?.hint
  const known = hint !== undefined && Object.hasOwn(hints, hint) ? hints[hint] : undefined
  if (known !== undefined) return known
  // An HTML page comes from a gateway in front, which refuses before anything is spent.
  if (status === 403 && response.contentType === 'text/html') return 'blocked'
  if (status === 402) return 'account_unpaid'
  if (hint !== undefined) return 'unknown_refusal'
  if (status === 404) return 'account_not_found'
  if (status === 401) return 'unauthorized_without_hint'
  return 'unknown_refusal'
}

const Hinted = Type.Object({ hint: Type.String() })
