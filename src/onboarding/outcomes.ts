import type { StateCheck } from '../connect-links/state.ts'
import { EXCHANGE_REFUSALS, type ExchangeRefusal } from '../provider/exchange-api-key.ts'
import { REFUSALS, type RefusalCode } from '../provider/refusals.ts'

/** Why a callback is refused. Nothing is stored. */
export type CallbackProblem =
  | 'access_denied'
  | 'invalid_scope'
  | 'provider_error'
  | 'no_code'
  | 'no_state'
  | 'state_placeholder'
  | 'installs_off'
  | 'too_many_installs'
  | 'foreign_client'
  | 'foreign_platform'
  | 'foreign_referer'
  | 'malformed_code'
  | 'too_many_codes'
  | 'code_used'
  | 'other_account'
  | 'link_unknown'
  | 'link_used'
  | Extract<StateCheck, { problem: string }>['problem']

/** How an onboarding in the inbox ends, besides refusals of the token endpoint (`RefusalCode`). */
export type InboxOutcome =
  | 'connected'
  | 'pending'
  | 'superseded'
  | 'foreign_token'
  | 'domain_unconfirmed'
  | 'other_account'
  | 'link_used'
  | 'interrupted'

/** How an exchange of an API key ends before a code arrives. */
export type ExchangeOutcome = ExchangeRefusal | 'not_reached' | 'too_soon' | 'no_callback'

export type OnboardingOutcome = InboxOutcome | RefusalCode

/** How a callback, an onboarding or an exchange of an API key ended. */
export type OnboardingEnd = CallbackProblem | OnboardingOutcome | ExchangeOutcome

/** Counts an end of an onboarding. */
export type OnOnboardingEnd = (end: OnboardingEnd) => void

const OWN_ENDS: Record<Exclude<OnboardingEnd, RefusalCode | ExchangeRefusal>, true> = {
  connected: true,
  pending: true,
  superseded: true,
  foreign_token: true,
  domain_unconfirmed: true,
  interrupted: true,
  access_denied: true,
  invalid_scope: true,
  provider_error: true,
  no_code: true,
  no_state: true,
  state_placeholder: true,
  state_forged: true,
  state_expired: true,
  other_browser: true,
  installs_off: true,
  too_many_installs: true,
  foreign_client: true,
  foreign_platform: true,
  foreign_referer: true,
  malformed_code: true,
  too_many_codes: true,
  other_account: true,
  link_unknown: true,
  link_used: true,
  too_soon: true,
  no_callback: true,
}

/** Every end, once. */
export const ONBOARDING_ENDS: readonly string[] = [
  ...new Set([OWN_ENDS, REFUSALS, EXCHANGE_REFUSALS].flatMap((codes) => Object.keys(codes))),
]
