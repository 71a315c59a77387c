import type { TextName } from './outcome-text.ts'

/** What is wrong, and what the reader can do. */
interface OutcomeText {
  title: string
  problem: string
  remedy: string
}

/** A page that needs nothing from the reader. */
interface Notice {
  title: string
  text: string
}

/**
 * Every text of the public pages, in one language. Words in braces are replaced: `{domain}` and
 * `{account}` (number) of the account, `{chosen}` and `{expected}` account, `{brand}` of the
 * company (BRAND_NAME).
 */
export interface PageTexts {
  connecting: Notice
  connected: Notice
  /** Follows the text of `connected`. */
  accessGranted: string
  /** The same where BRAND_NAME is set. */
  accessGrantedTo: string
  received: Notice
  nothingHere: Notice
  tryAgain: string
  /** Heads the operators' explanation, which is in English. */
  forTheCompany: string
  /** Replaces the problem and the remedy of `other_account` where one of both is not known. */
  otherAccountUnnamed: Pick<OutcomeText, 'problem' | 'remedy'>
  /** Replaces the problem of `pending` where the account is not known. */
  pendingUnnamed: string
  outcomes: Record<TextName, OutcomeText>
}
