import { REFUSALS, type RefusalCode } from '../provider/refusals.ts'

const CONSENT_AGAIN = 'Make a new connect link and let an administrator of the account consent.'

/** What a refresh can come to besides the refusals of the token endpoint. */
const OWN_FAILURES = {
  spent_elsewhere: {
    problem: 'The refresh token was spent by somebody else, not by this broker.',
    remedy: `Stop the other service that refreshes this account. ${CONSENT_AGAIN}`,
  },
  pair_lost: {
    problem: 'The provider spent the refresh token and its answer never arrived.',
    remedy: CONSENT_AGAIN,
  },
} as const

/** Why an account's last refresh came to nothing. */
export type FailureCode = RefusalCode | keyof typeof OWN_FAILURES

/** What is wrong and what to do, for an account's last error. */
export function explainFailure(code: string): { problem: string; remedy: string } {
  const known = Object.entries({ ...REFUSALS, ...OWN_FAILURES }).find(([name]) => name === code)
  if (known === undefined) return { problem: code, remedy: 'Look at the broker’s log.' }
  const { problem, remedy } = known[1]
  return { problem, remedy }
}
