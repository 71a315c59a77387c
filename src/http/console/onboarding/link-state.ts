import type { LinkProgress } from '../../../connect-links/link-progress.ts'
import { type Html, html } from '../../../lib/html.ts'
import { failureOf, type LinkState, stateOf } from '../../connect-links/link-state.ts'
import { isFailure } from '../../onboarding/outcome-texts.ts'
import type { Tone } from '../parts.ts'
import { clockTag, timeTag } from '../times.ts'
import { diagnosis } from './outcome-parts.ts'

interface LinkSentence {
  tone: Tone
  word: string
  sentence: Html
  /** Nothing more will happen to it. */
  hasEnded: boolean
}

const WORDS: Record<LinkState, [tone: Tone, word: string]> = {
  connected: ['good', 'connected'],
  expired: ['neutral', 'expired'],
  in_progress: ['neutral', 'in progress'],
  failed: ['bad', 'failed'],
  opened: ['warn', 'opened'],
  not_opened: ['neutral', 'not opened'],
}

/** Says what became of a link. */
export function describeLink(link: LinkProgress): LinkSentence {
  const state = stateOf(link)
  const [tone, word] = WORDS[state]
  const hasEnded = state === 'connected' || state === 'expired'
  return { tone, word, sentence: sentenceOf(link, state), hasEnded }
}

function sentenceOf(link: LinkProgress, state: LinkState): Html {
  const { usedAt, usedByAccountId, openedAt, expiresAt } = link
  const failure = failureSentence(link)
  switch (state) {
    case 'connected':
      return html`It connected account ${usedByAccountId} ${usedAt && timeTag(usedAt)}.`
    case 'expired':
      return html`It expired ${timeTag(expiresAt)}. ${failure ?? 'Make another one.'}`
    case 'in_progress':
      return html`Somebody has consented, and the code is being exchanged.`
    case 'failed':
      return html`${failure}`
    case 'opened':
      return html`Opened ${openedAt && timeTag(openedAt)}, by a person or by the preview of a message. Nobody has consented yet.`
    case 'not_opened':
      return html`Nobody has opened it. It works until ${clockTag(expiresAt)}.`
  }
}

/** The link still works after a failure, so the sentence says so. */
function failureSentence(link: LinkProgress): Html | undefined {
  const code = failureOf(link)
  if (code === null) return undefined
  const { problemAt, outcome } = link
  const at = isFailure(outcome) || problemAt === null ? undefined : html` ${timeTag(problemAt)}`
  return html`The last attempt failed${at}. ${diagnosis(code)}`
}
