import type { PageTexts } from './page-texts.ts'

const NEW_LINK = 'Ask whoever sent you the link for a new one.'
const SAME_LINK = 'Try again with the same link.'
const OR_SEND_CODE = 'If it happens again, send the code below to whoever sent you the link.'

export const EN: PageTexts = {
  connecting: {
    title: 'Connecting the account',
    text: 'This takes a few seconds. The page reloads by itself.',
  },
  connected: { title: '{domain} is connected', text: 'Account number: {account}.' },
  accessGranted: 'Access has been granted. You can close this page.',
  accessGrantedTo: '{brand} has been granted access. You can close this page.',
  received: { title: 'Received', text: 'The code is stored and will be exchanged for a token.' },
  nothingHere: {
    title: 'There is no page here',
    text: 'This address connects amoCRM and Kommo accounts. To connect an account, open the link that you were given. If that link brought you here, ask for a new one.',
  },
  tryAgain: 'Try again',
  forTheCompany: 'For the company behind the integration',
  otherAccountUnnamed: {
    problem: 'The link is for another account than the one that you chose.',
    remedy: 'Try again and choose the account that the link was made for.',
  },
  pendingUnnamed:
    'The integration was installed without a link, so somebody has to approve the account first.',
  outcomes: {
    access_denied: {
      title: 'Access was not allowed',
      problem:
        'You chose “Deny” on the consent page, or you may not install integrations in this account.',
      remedy: 'Try again as an administrator of the account, and choose “Allow”.',
    },
    no_code: {
      title: 'The provider sent no code',
      problem: 'The consent page led back here without the code that connects the account.',
      remedy: SAME_LINK,
    },
    provider_error: {
      title: 'The provider reported an error',
      problem: 'amoCRM or Kommo refused the request, and the account is not connected.',
      remedy: `${SAME_LINK} ${OR_SEND_CODE}`,
    },
    setup: {
      title: 'The integration is set up incorrectly',
      problem: 'The account could not be connected. You did nothing wrong.',
      remedy:
        'Send the code below to whoever sent you the link. Only they can correct the settings.',
    },
    not_from_link: {
      title: 'This did not come from a connect link',
      problem:
        'The page was not opened through the link that you were sent, or something was changed on the way.',
      remedy: 'Open the link that you were sent. If that is what you did, ask for a new one.',
    },
    state_expired: {
      title: 'That took too long',
      problem: 'More than 20 minutes passed between the link and the consent.',
      remedy: SAME_LINK,
    },
    other_browser: {
      title: 'This is another browser',
      problem: 'The link was opened in another browser, or this one refuses cookies.',
      remedy: 'Open the link and consent in one browser, with cookies allowed.',
    },
    link_used: {
      title: 'This link was used already',
      problem: 'A link connects one account, once.',
      remedy: NEW_LINK,
    },
    link_expired: {
      title: 'This link has expired',
      problem: 'A link works for seven days.',
      remedy: NEW_LINK,
    },
    link_unknown: {
      title: 'There is no such link',
      problem: 'The address is incomplete, or the link was withdrawn.',
      remedy: 'Copy the whole link, or ask whoever sent it for a new one.',
    },
    unconfirmed: {
      title: 'The account could not be confirmed',
      problem: 'The provider did not confirm that the access belongs to this account.',
      remedy: 'Try again with the same link in a minute.',
    },
    other_account: {
      title: 'You chose another account',
      problem: 'You chose {chosen}, but the link is for {expected}.',
      remedy: 'Try again and choose {expected}. If it is not in the list, sign in to it first.',
    },
    pending: {
      title: 'The account awaits approval',
      problem:
        'The integration was installed in {domain} without a link, so somebody has to approve the account first.',
      remedy:
        'You need not do anything. If it takes long, contact the company whose integration this is.',
    },
    superseded: {
      title: 'The account is connected already',
      problem: 'A newer consent for the same account came first and is in use.',
      remedy: 'You need not do anything.',
    },
    interrupted: {
      title: 'The connection was interrupted',
      problem: 'The provider did not answer, so it is not known whether it accepted the code.',
      remedy: SAME_LINK,
    },
    unreachable: {
      title: 'The provider cannot be reached now',
      problem: 'amoCRM or Kommo took no request: there are too many, or there is an outage.',
      remedy: 'Try again with the same link in a few minutes.',
    },
    too_many_codes: {
      title: 'Too many attempts failed',
      problem: 'The last codes of this link were refused, so no more are sent for now.',
      remedy: 'Wait 20 minutes and open the link again, or ask whoever sent it for a new one.',
    },
    too_many_requests: {
      title: 'Too many requests',
      problem: 'More requests came from your address than a person makes.',
      remedy: 'Wait a minute and open the link again.',
    },
    consent_ended: {
      title: 'The consent is no longer valid',
      problem: 'Its code was used before, or is older than 20 minutes.',
      remedy: SAME_LINK,
    },
    account_unpaid: {
      title: 'The subscription has ended',
      problem: 'The provider gives no access until the account has been paid for.',
      remedy: 'Renew the subscription, then try again with the same link.',
    },
    malformed: {
      title: 'This address is malformed',
      problem: 'A part of it is missing, too long, or was changed.',
      remedy: 'Copy the whole link, or ask whoever sent it for a new one.',
    },
    broken: {
      title: 'Something went wrong',
      problem: 'The account may not be connected.',
      remedy: `${SAME_LINK} ${OR_SEND_CODE}`,
    },
    storage_unavailable: {
      title: 'Nothing can be stored now',
      problem: 'Our database does not answer, so the account is not connected yet.',
      remedy: 'Open the link again in a minute.',
    },
  },
}
