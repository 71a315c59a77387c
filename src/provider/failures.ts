import { REFUSALS, type RefusalCode } from './refusals.ts'

const CONSENT_AGAIN = 'Make a new connect link and let an administrator of the account consent.'

/** Failures of a refresh that are not refusals of the token endpoint. */
const OWN_FAILURES = {
  spent_elsewhere: {
    problem:
      'The customer revoked the access or switched the integration off, or another service spent the refresh token. The provider’s response is the same in both cases.',
    remedy: `${CONSENT_AGAIN} If it happens again, look for another service that refreshes this account, and stop it.`,
  },
  account_gone: {
    problem: 'There is no account at its host, and the provider calls its refresh token dead.',
    remedy: `Check that the account exists. ${CONSENT_AGAIN}`,
  },
  grant_revoked: {
    problem:
      'The provider refuses both tokens: somebody has revoked the integration in the account.',
    remedy: CONSENT_AGAIN,
  },
  pair_lost: {
    problem:
      'The provider spent the refresh token, and no readable response with a new pair arrived.',
    remedy: CONSENT_AGAIN,
  },
} as const

/** Why an account's last refresh failed. */
export type FailureCode = RefusalCode | keyof typeof OWN_FAILURES

/** Every failure code. */
export const FAILURE_CODES = [...Object.keys(REFUSALS), ...Object.keys(OWN_FAILURES)]

/** Explains an account's last error: the problem and the remedy. */
export function explainFailure(code: string): { problem: string; remedy: string } {
  const known = Object.entries({ ...REFUSALS, ...OWN_FAILURES }).find(([name]) => name === code)
  if (known === undefined) return { problem: code, remedy: 'Look at the broker’s log.' }
  const { problem, remedy } = known[1]
  return { problem, remedy }
}
