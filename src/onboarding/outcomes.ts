import { REFUSALS } from '../provider/refusals.ts'

interface Outcome {
  title: string
  problem: string
  remedy: string
}

const AGAIN = 'Ask whoever sent you the link for a new one, and open it in this browser.'

/** How an onboarding can end short of success, for the person in front of the page. */
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
  no_state: {
    title: 'This did not come from a connect link',
    problem: 'The callback carries no state that the broker gave out.',
    remedy: 'Make a connect link (POST /connect-links) and open that one.',
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
    remedy:
      'Compare AMO_CLIENT_ID (KOMMO_CLIENT_ID) with the integration whose redirect URI this is.',
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
} satisfies Record<string, Outcome>

/** What to show for the outcome of an onboarding; refusals of the token endpoint included. */
export function explainOutcome(code: string): Outcome {
  const own = Object.entries(OUTCOMES).find(([name]) => name === code)?.[1]
  if (own !== undefined) return own
  const refusal = Object.entries(REFUSALS).find(([name]) => name === code)?.[1]
  if (refusal !== undefined) return { title: 'The provider refused', ...refusal }
  return OUTCOMES.broken
}
