import { channel } from 'node:diagnostics_channel'
import type { AccountKey } from './account-key.ts'

/** The points of a refresh at which a test may kill or stop the process, roughly in their order. */
export const REFRESH_STEPS = [
  'lock_taken',
  'claimed',
  'send_recorded',
  'writing',
  'written',
  'response_read',
  'journaled',
  'flushed',
  'copied',
  'committing',
  'commit_prepared',
  'committed',
  'tidied',
  'reclaimed',
  'probing',
  'probed',
  'moved',
  'requiring_reauth',
  'reauth_required',
  'reviving',
  'left_unresolved',
  'released_with_backoff',
  'released_unsent',
] as const
export type RefreshStep = (typeof REFRESH_STEPS)[number]

/** The points of an onboarding, in their order. */
export const ONBOARDING_STEPS = [
  'callback_spooled',
  'callback_received',
  'code_presented',
  'code_response_read',
  'code_response_journaled',
  'pair_in_inbox',
  'account_confirmed',
  'account_stored',
] as const
type OnboardingStep = (typeof ONBOARDING_STEPS)[number]

/** The points of an operator's act: its audit row is in the transaction; its response is next. */
export const ACT_STEPS = ['act_recorded', 'act_done'] as const
type ActStep = (typeof ACT_STEPS)[number]

/** The points between a change and the deliveries of its event, in their order. */
export const EVENT_STEPS = ['events_sequenced', 'events_fanned_out', 'events_committed'] as const
type EventStep = (typeof EVENT_STEPS)[number]

/** The points of a delivery, in their order. */
export const DELIVERY_STEPS = [
  'delivery_claimed',
  'delivery_attempted',
  'delivery_finished',
] as const
type DeliveryStep = (typeof DELIVERY_STEPS)[number]

/** A point of the escrow: lines are in the place, and the database does not know it. */
type EscrowStep = 'escrow_appended'

/** The diagnostics channel on which every failpoint is published. */
export const FAILPOINT_CHANNEL = 'amo-token-broker:failpoint'

export type FailpointMessage =
  | { step: RefreshStep; account: AccountKey }
  | { step: OnboardingStep | ActStep | EventStep | DeliveryStep | EscrowStep; account?: undefined }

const steps = channel(FAILPOINT_CHANNEL)

/**
 * Publishes that the process has come to this step, in the same tick and before the next line.
 * Tests kill and stop the process here. Costs one property read when nobody subscribes.
 */
export function failpoint(step: RefreshStep, account: AccountKey): void
export function failpoint(
  step: OnboardingStep | ActStep | EventStep | DeliveryStep | EscrowStep,
): void
export function failpoint(
  step: RefreshStep | OnboardingStep | ActStep | EventStep | DeliveryStep | EscrowStep,
  account?: AccountKey,
): void {
  if (!steps.hasSubscribers) return
  const key = account && { integration: account.integration, accountId: account.accountId }
  steps.publish({ step, account: key })
}
