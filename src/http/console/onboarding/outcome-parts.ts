import { type Html, html } from '../../../lib/html.ts'
import type { InboxRow } from '../../../onboarding/inbox.ts'
import { explainOutcome } from '../../onboarding/outcome-texts.ts'
import { badge, type Tone } from '../parts.ts'
import { remedyText } from '../remedy-text.ts'

/** How a code arrived. */
export const ORIGINS: Record<InboxRow['origin'], string> = {
  consent: 'a connect link',
  install: 'an install in the CRM',
  exchange: 'an API key',
  manual: 'an operator',
  hook: 'a disconnect hook',
}

const FINE = new Map<string | null, [tone: Tone, word: string]>([
  [null, ['neutral', 'in progress']],
  ['connected', ['good', 'connected']],
  ['pending', ['warn', 'waits for approval']],
  ['superseded', ['neutral', 'superseded']],
])

export function outcomeBadge(outcome: string | null): Html {
  const [tone, word] = FINE.get(outcome) ?? ['bad', 'failed']
  return badge(tone, word)
}

/** Returns what happened and what to do, as sentences. */
export function outcomeText({ outcome, accountId }: Pick<InboxRow, 'outcome' | 'accountId'>): Html {
  if (outcome === null) return html`The code is being exchanged.`
  if (outcome === 'connected') return html`Account ${accountId}.`
  return diagnosis(outcome)
}

/** Explains the code of a failure. */
export function diagnosis(code: string): Html {
  const { problem, remedy } = explainOutcome(code)
  return html`${problem} ${remedyText(remedy)} <small><code>${code}</code></small>`
}
