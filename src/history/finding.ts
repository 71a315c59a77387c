import type { AccountKey } from '../lib/account-key.ts'

/** The rules that a history must keep, by name: what a violation means, and what to do. */
export const RULES = {
  send_without_claim: {
    broken: 'A refresh token was sent without the right to send it.',
    remedy:
      'Look for a broker that is not of this deployment, and for statements of other programs on amo_refresh_attempts. Pause the integration until it is found.',
  },
  send_not_recorded: {
    broken: 'A refresh token was sent, and the send was not recorded before.',
    remedy:
      'After a failover that lost the newest rows, this is their trace. Otherwise pause the integration and keep the log: the next such send may spend a token twice.',
  },
  sent_again: {
    broken: 'A refresh token was sent a second time, and nothing proved that it was unspent.',
    remedy:
      'Pause the integration and keep the log of both times. Check the account: if it asks for a new consent, the second send has cost it.',
  },
  claims_overlap: {
    broken: 'Two attempts had the claim to one account at the same time.',
    remedy:
      'Check that the unique index amo_refresh_attempts_claim exists. Run "amo-broker doctor". Pause the integration until it is found.',
  },
  generation_order: {
    broken: 'An account went back to an older pair.',
    remedy:
      'Find out whether amo_tokens was restored without amo_refresh_attempts. Then restore both, and run "amo-broker verify".',
  },
  generation_reused: {
    broken: 'One generation was given to two pairs.',
    remedy:
      'Find out whether the sequence amo_generation was reset. Set it above the greatest generation of both tables.',
  },
  reauth_without_probe: {
    broken: 'An account became reauth_required, and the provider was not asked before.',
    remedy:
      'Run "amo-broker check" for the account: if its refresh token lives, the next recheck revives it. Keep the log of that time.',
  },
} as const

export type Rule = keyof typeof RULES

/** A place in the history where a rule was broken. */
export interface Finding extends AccountKey {
  rule: Rule
  /** Id of the attempt; null where no attempt is on record. */
  attempt: number | null
  at: Date
  /** What was found there. */
  detail: string
}
