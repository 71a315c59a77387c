import type { CallbackProblem, InboxOutcome } from '../../../onboarding/outcomes.ts'
import type { RefusalCode } from '../../../provider/refusals.ts'

/** Every code that a person can meet on a public page. */
type PageCode =
  | CallbackProblem
  | Exclude<InboxOutcome, 'connected'>
  | RefusalCode
  | 'link_expired'
  | 'too_many_requests'
  | 'malformed'
  | 'broken'
  | 'storage_unavailable'

/**
 * The text that explains each code to the owner of an account. Codes that need the same action
 * share a text. The operators' explanation of each code is in src/http/onboarding/outcome-texts.ts.
 */
const TEXT_OF = {
  access_denied: 'access_denied',
  no_code: 'no_code',
  provider_error: 'provider_error',
  unknown_refusal: 'provider_error',
  invalid_scope: 'setup',
  installs_off: 'setup',
  foreign_client: 'setup',
  foreign_platform: 'setup',
  foreign_token: 'setup',
  code_of_other_client: 'setup',
  client_rejected: 'setup',
  client_id_malformed: 'setup',
  client_secret_malformed: 'setup',
  redirect_uri_mismatch: 'setup',
  redirected: 'setup',
  unauthorized_without_hint: 'setup',
  no_state: 'not_from_link',
  state_placeholder: 'not_from_link',
  malformed_code: 'not_from_link',
  state_forged: 'not_from_link',
  state_expired: 'state_expired',
  other_browser: 'other_browser',
  link_used: 'link_used',
  link_expired: 'link_expired',
  link_unknown: 'link_unknown',
  foreign_referer: 'unconfirmed',
  domain_unconfirmed: 'unconfirmed',
  invalid_account: 'unconfirmed',
  account_not_found: 'unconfirmed',
  other_account: 'other_account',
  pending: 'pending',
  superseded: 'superseded',
  interrupted: 'interrupted',
  gateway_error: 'interrupted',
  server_error: 'interrupted',
  unreadable_answer: 'interrupted',
  no_answer: 'interrupted',
  not_reached: 'unreachable',
  rate_limited: 'unreachable',
  blocked: 'unreachable',
  too_many_installs: 'unreachable',
  too_many_codes: 'too_many_codes',
  too_many_requests: 'too_many_requests',
  code_expired: 'consent_ended',
  code_used: 'consent_ended',
  code_unreadable: 'consent_ended',
  token_revoked: 'consent_ended',
  token_expired: 'consent_ended',
  token_unreadable: 'consent_ended',
  token_of_other_client: 'consent_ended',
  account_unpaid: 'account_unpaid',
  malformed: 'malformed',
  broken: 'broken',
  storage_unavailable: 'storage_unavailable',
} as const satisfies Record<PageCode, string>

export type TextName = (typeof TEXT_OF)[PageCode]

/** Texts whose remedy is to consent again with the same link. */
const RETRIED = new Set<TextName>([
  'access_denied',
  'no_code',
  'provider_error',
  'state_expired',
  'unconfirmed',
  'other_account',
  'interrupted',
  'unreachable',
  'consent_ended',
  'account_unpaid',
  'broken',
])

/** Returns the name of the text for a code. An unknown code is explained as `broken`. */
export function textNameOf(code: string): TextName {
  return Object.entries(TEXT_OF).find(([name]) => name === code)?.[1] ?? 'broken'
}

/** Returns whether consenting again with the same link can help. */
export function canRetry(name: TextName): boolean {
  return RETRIED.has(name)
}
