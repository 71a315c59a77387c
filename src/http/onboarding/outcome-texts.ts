import type { CallbackProblem, ExchangeOutcome, InboxOutcome } from '../../onboarding/outcomes.ts'
import { EXCHANGE_REFUSALS, type ExchangeRefusal } from '../../provider/exchange-api-key.ts'
import { settingNames } from '../../provider/profile-table.ts'
import { REFUSALS, type RefusalCode } from '../../provider/refusals.ts'

/** The codes that are explained here; `provider/` explains its own. */
type TextCode =
  | Exclude<CallbackProblem, RefusalCode>
  | Exclude<InboxOutcome, 'connected'>
  | Exclude<ExchangeOutcome, ExchangeRefusal | RefusalCode>
  | 'link_expired'
  | 'secrets_missing'
  | 'too_many_requests'
  | 'malformed'
  | 'broken'
  | 'storage_unavailable'

interface Outcome {
  title: string
  problem: string
  remedy: string
}

const AGAIN = 'Ask whoever sent you the link for a new one, and open it in this browser.'

/** Explains every end of an onboarding to the person in front of the page. */
const OUTCOMES = {
  access_denied: {
    title: 'Access was not allowed',
    problem: 'The consent page was left with “Deny”, or you may not install integrations.',
    remedy: 'Open the link again and choose “Allow”, as an administrator of the account.',
  },
  no_code: {
    title: 'The provider sent no code',
    problem: 'The callback had neither an authorization code nor an error.',
    remedy: 'Open the link again.',
  },
  invalid_scope: {
    title: 'A scope is not allowed',
    problem: 'The integration asks for a scope that it was not given.',
    remedy:
      'Compare the scopes of the profile with those that are ticked in the integration’s settings.',
  },
  provider_error: {
    title: 'The provider reported an error',
    problem: 'The callback carries an error instead of a code.',
    remedy: 'Open the link again; if it happens again, check the integration’s settings.',
  },
  no_state: {
    title: 'This did not come from a connect link',
    problem: 'The callback carries no state.',
    remedy:
      'Make a connect link (POST /connect-links) and open that one; for installations from inside the CRM set accepts_installs.',
  },
  state_placeholder: {
    title: 'This did not come from a connect link',
    problem: 'The callback carries the word that the provider writes where no state was sent.',
    remedy:
      'Somebody opened the consent page without the broker: make a connect link (POST /connect-links) and open that one.',
  },
  installs_off: {
    title: 'Installations are not accepted',
    problem: 'The integration was installed inside the CRM, and the broker does not take that.',
    remedy:
      'Set accepts_installs of the integration (PUT /integrations/:integration), then install it again, or make a connect link.',
  },
  too_many_installs: {
    title: 'Too many installations are waiting',
    problem: 'More callbacks without a state came in than can be worked off.',
    remedy: 'Look in the log for where they come from; connect the account by a connect link.',
  },
  foreign_platform: {
    title: 'This is another platform',
    problem: 'The callback names another platform than the integration’s.',
    remedy: 'Check that the redirect URI is set in one integration only.',
  },
  too_many_codes: {
    title: 'Too many codes were refused',
    problem:
      'The provider refused the last authorization codes of this link, so no more are sent to it for now.',
    remedy:
      'Wait 20 minutes and open the link again, or ask whoever sent you the link for a new one.',
  },
  malformed_code: {
    title: 'This is no authorization code',
    problem: 'What the callback brings does not look like a code of the provider.',
    remedy: 'Make a connect link (POST /connect-links) and open that one.',
  },
  no_callback: {
    title: 'The provider sent no code',
    problem: 'The provider took the API key, and its server brought no code within 20 minutes.',
    remedy:
      'Check that the integration’s redirect URI is reachable from the internet and is that of the broker’s public listener.',
  },
  too_soon: {
    title: 'Too soon',
    problem: 'The provider takes one API key in five minutes by user and integration.',
    remedy: 'Wait five minutes.',
  },
  secrets_missing: {
    title: 'The integration is not there yet',
    problem: 'The provider has not sent the new integration’s keys.',
    remedy:
      'Check that secrets_uri is the broker’s /hooks/secrets and reachable; press the button again.',
  },
  state_forged: {
    title: 'This did not come from your connect link',
    problem: 'The state was not made for this browser, or was changed on the way.',
    remedy: AGAIN,
  },
  state_expired: {
    title: 'That took too long',
    problem: 'More than 20 minutes passed between the link and the consent.',
    remedy: 'Open the link again.',
  },
  other_browser: {
    title: 'This is another browser',
    problem: 'The link was opened in another browser, or this one refuses cookies.',
    remedy: 'Open the link and consent in one browser, with cookies allowed.',
  },
  link_used: {
    title: 'This link was used already',
    problem: 'A link connects one account, once.',
    remedy: AGAIN,
  },
  link_expired: {
    title: 'This link has expired',
    problem: 'A link works for seven days.',
    remedy: AGAIN,
  },
  link_unknown: {
    title: 'There is no such link',
    problem: 'The link is incomplete, or was made by another broker.',
    remedy: 'Copy the whole link, or ask for a new one.',
  },
  foreign_referer: {
    title: 'This is not an account of the provider',
    problem: 'The callback names an account host that is not one of the platform’s.',
    remedy: 'Open the link again; if it happens again, tell whoever runs the broker.',
  },
  foreign_client: {
    title: 'This is another integration',
    problem: 'The callback is for another client ID than the link.',
    remedy: 'Check that the redirect URI is set in one integration only.',
  },
  other_account: {
    title: 'This is another account',
    problem: 'The link is for another account than the one that was chosen.',
    remedy: 'Open the link again and choose the account that it was made for.',
  },
  foreign_token: {
    title: 'The provider’s answer does not fit',
    problem: 'The token was issued to another integration, or cannot be read.',
    remedy: `Compare ${settingNames('CLIENT_ID')} with the integration whose redirect URI this is.`,
  },
  domain_unconfirmed: {
    title: 'The account could not be confirmed',
    problem: 'The provider did not say that the token belongs to this account.',
    remedy: 'Open the link again in a minute.',
  },
  pending: {
    title: 'The account awaits approval',
    problem: 'Nobody expected the account: its tokens are kept alive and handed to nobody.',
    remedy: 'Let an operator look at it and approve it: POST /accounts/:account/approve.',
  },
  superseded: {
    title: 'The account was connected meanwhile',
    problem: 'A newer consent for the same account came first and is in use.',
    remedy: 'Nothing to do.',
  },
  interrupted: {
    title: 'The exchange was interrupted',
    problem: 'It is not known whether the provider took the code.',
    remedy: 'Open the link again.',
  },
  too_many_requests: {
    title: 'Too many requests',
    problem: 'More requests came from your address than a person makes.',
    remedy: 'Wait a minute and open the link again.',
  },
  malformed: {
    title: 'This address is malformed',
    problem: 'A part of it is missing, too long, or was changed.',
    remedy: 'Copy the whole link, or ask for a new one.',
  },
  broken: {
    title: 'Something went wrong in the broker',
    problem: 'The account may not be connected.',
    remedy: 'Open the link again; if it happens again, tell whoever runs the broker.',
  },
  storage_unavailable: {
    title: 'The broker cannot store anything now',
    problem: 'Its database does not answer.',
    remedy: 'Open the link again in a minute.',
  },
} satisfies Record<TextCode, Outcome>

const CONSENT_AGAIN =
  'Open the link again and consent once more, or make a new link (POST /connect-links).'

/** Remedies for a code, where the remedy for a refresh token would mislead. */
const FOR_A_CODE = {
  invalid_account: 'Check the domain: the code was given by another account than this host’s.',
  account_not_found: 'Check the domain: it is the account’s own, such as demo.amocrm.ru.',
  redirected: 'Check the domain and the token_url of the integration’s profile.',
  gateway_error: CONSENT_AGAIN,
  server_error: CONSENT_AGAIN,
  unreadable_answer: CONSENT_AGAIN,
  no_answer: CONSENT_AGAIN,
} satisfies Partial<Record<RefusalCode, string>>

const FINE = new Set<string | null>([null, 'connected', 'pending', 'superseded'])

/** Returns true when an onboarding has ended without an account. */
export function isFailure(outcome: string | null): boolean {
  return !FINE.has(outcome)
}

/** Explains the outcome of an onboarding, including refusals of the token endpoint. */
export function explainOutcome(code: string): Outcome {
  const own = Object.entries(OUTCOMES).find(([name]) => name === code)?.[1]
  if (own !== undefined) return own
  const refusal = Object.entries({ ...REFUSALS, ...EXCHANGE_REFUSALS }).find(
    ([name]) => name === code,
  )?.[1]
  const remedy = Object.entries(FOR_A_CODE).find(([name]) => name === code)?.[1]
  const problem = refusal?.problem.replace(
    'token may have been spent',
    'code may have been used up',
  )
  if (refusal !== undefined && problem !== undefined) {
    return { title: 'The provider refused', problem, remedy: remedy ?? refusal.remedy }
  }
  return OUTCOMES.broken
}
