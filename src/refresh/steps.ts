import { channel } from 'node:diagnostics_channel'
import type { AccountKey } from '../accounts/account-key.ts'

/** Between which lines of a refresh the process is, in about their order. */
export const STEPS = [
  'lock_taken',
  'claimed',
  'send_recorded',
  'writing',
  'written',
  'answered',
  'kept',
  'copied',
  'committing',
  'commit_prepared',
  'committed',
  'tidied',
  'taken_over',
  'probing',
  'probed',
  'moved',
  'condemning',
  'condemned',
  'reviving',
  'handed_over',
  'held_back',
  'given_back',
] as const
export type Step = (typeof STEPS)[number]

export interface StepMessage {
  step: Step
  account: AccountKey
}

const steps = channel('amo-token-broker:refresh')

/**
 * Tells whoever listens on the diagnostics channel `amo-token-broker:refresh` how far a refresh has come, in the same tick
 * and before the next line: the torture tests kill and stop the process here. Costs one look when nobody listens.
 */
export function atStep(step: Step, { integration, accountId }: AccountKey): void {
  if (!steps.hasSubscribers) return
  const message: StepMessage = { step, account: { integration, accountId } }
  steps.publish(message)
}
