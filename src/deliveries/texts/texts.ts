import type { EventType } from '../../contract/events.ts'
import type { Row } from '../../db/tables.ts'
import { EN } from './en.ts'
import { ES } from './es.ts'
import { RU } from './ru.ts'
import { UK } from './uk.ts'

/** Why an account has to be authorized again, in words for people outside of the project. */
export type Cause = 'revoked' | 'expired' | 'gone' | 'lost'

type Subject = EventType | 'paused' | 'group' | 'flapping'

/** The words of one language. `{account}` and the like are replaced by values. */
export interface Texts {
  button: string
  /** Sentences that explain why access to an account was lost. */
  causes: Record<Cause, string>
  /** What to do about it. */
  authorizeAgain: string
  /**
   * Title and text of each message. `group` and `flapping` stand for several events, and `paused`
   * for an integration that an operator stopped.
   */
  subjects: Record<Subject, readonly [title: string, body: string]>
}

/** The words of each language that an endpoint can have. */
export const TEXTS: Record<Row<'amo_endpoints'>['language'], Texts> = {
  en: EN,
  ru: RU,
  uk: UK,
  es: ES,
}

/** Returns why an account has to be authorized again, from the code of its last failure. */
export function causeOf(reason: string | null): Cause | undefined {
  return reason === null ? undefined : CAUSES[reason]
}

const CAUSES: Record<string, Cause> = {
  spent_elsewhere: 'revoked',
  grant_revoked: 'revoked',
  token_revoked: 'revoked',
  unauthorized_without_hint: 'revoked',
  token_expired: 'expired',
  account_gone: 'gone',
  account_not_found: 'gone',
  invalid_account: 'gone',
  pair_lost: 'lost',
}
