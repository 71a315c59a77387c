import type { Integration } from '../../../integrations/integration.ts'
import { type Html, html } from '../../../lib/html.ts'
import { explainFailure } from '../../../provider/failures.ts'
import type { Tone } from '../parts.ts'
import { remedyText } from '../remedy-text.ts'
import { timeTag } from '../times.ts'

export interface SendingState {
  tone: Tone
  word: string
  /** Completes "amocrm …". */
  title: string
  sentence: Html
}

/** Says whether an integration sends, why not, and what to do. The worst comes first. */
export function sendingState(integration: Integration): SendingState {
  const { isAltered, state, stateReason, breakers, lastErrorCode, lastErrorAt } = integration
  if (isAltered) {
    return {
      tone: 'bad',
      word: 'altered',
      title: 'was altered in the database',
      sentence: html`Somebody other than the broker wrote fields that decide where its secret is sent. Nothing is sent. Find out who wrote to <code>amo_integrations</code>, save the settings that it had below, then resume it.`,
    }
  }
  if (state === 'halted') {
    return {
      tone: 'bad',
      word: 'halted',
      title: 'has halted itself',
      sentence: html`${stateReason ?? 'Many accounts would have been lost at once'}. Tokens are still served. Remove the cause, then resume it.`,
    }
  }
  if (state === 'paused') {
    return {
      tone: 'warn',
      word: 'paused',
      title: 'is paused',
      sentence: html`${stateReason ?? 'An operator paused it'}. Nothing is sent, and tokens are served until they end.`,
    }
  }
  const [breaker] = breakers
  if (breaker !== undefined) {
    return {
      tone: 'warn',
      word: 'waiting',
      title: 'waits for the provider',
      sentence: html`Nothing has been sent to ${breaker.key} since ${timeTag(breaker.openedAt)} (${breaker.reason}). One account is tried ${timeTag(breaker.openUntil)}, and the rest follows if it works. You need not do anything.`,
    }
  }
  if (lastErrorCode !== null) {
    const { problem, remedy } = explainFailure(lastErrorCode)
    return {
      tone: 'bad',
      word: 'refused',
      title: 'is refused by the provider',
      sentence: html`${problem} ${remedyText(remedy)} ${lastErrorAt && timeTag(lastErrorAt)} <small><code>${lastErrorCode}</code></small>`,
    }
  }
  return {
    tone: 'good',
    word: 'running',
    title: 'runs',
    sentence: html`It refreshes its accounts.`,
  }
}
