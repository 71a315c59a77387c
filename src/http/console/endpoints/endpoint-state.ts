import type { Endpoint } from '../../../endpoints/store.ts'
import { type Html, html } from '../../../lib/html.ts'
import type { Tone } from '../parts.ts'
import { timeTag } from '../times.ts'

const DISABLED: Record<string, string> = {
  operator: 'An operator has disabled it. Nothing is sent, and later events are not kept for it.',
  gone: 'It answered 410, which means that it wants no more messages. Enable it when it receives again.',
  failing:
    'Nothing could be delivered for five days, so it was disabled. Correct the receiver, then enable it.',
}

/** Says whether an endpoint receives its events, and what to do if not. */
export function endpointState(endpoint: Endpoint): { tone: Tone; word: string; sentence: Html } {
  const { state, disabledReason, failingSince, lastErrorCode } = endpoint
  if (state === 'disabled') {
    const sentence = html`${DISABLED[disabledReason ?? 'operator'] ?? disabledReason}`
    return { tone: disabledReason === 'operator' ? 'neutral' : 'bad', word: 'disabled', sentence }
  }
  if (failingSince !== null) {
    const sentence = html`The first failed delivery was ${timeTag(failingSince)}${lastErrorCode !== null && html` (<code>${lastErrorCode}</code>)`}. Each is repeated for about 35 hours. After five days without a success the endpoint is disabled.`
    return { tone: 'warn', word: 'failing', sentence }
  }
  return { tone: 'good', word: 'active', sentence: html`It receives its events.` }
}
