import type { Row } from '../db/tables.ts'
import type { Claimed } from './claim.ts'
import type { Message } from './message.ts'
import { causeOf, TEXTS, type Texts } from './texts/texts.ts'

type Event = Row<'amo_events'>
type Language = Row<'amo_endpoints'>['language']

/**
 * Builds the message about a delivery's events, in the language of the endpoint.
 *
 * @param url the page of the console; null: there is none
 */
export function buildMessage(
  { kind, eventIds }: Pick<Claimed, 'kind' | 'eventIds'>,
  events: readonly [Event, ...Event[]],
  language: Language,
  url: string | null,
): Message {
  const texts = TEXTS[language]
  const last = events.at(-1) ?? events[0]
  const [title, body] = texts.subjects[subjectOf(kind, last)]
  const why = last.type === 'account.reauth_required' && kind === 'single'
  return {
    title,
    body: why ? `${body} ${reauthText(texts, last.reason)}` : body,
    values: valuesOf(last, eventIds.length),
    button: texts.button,
    url,
  }
}

function subjectOf(kind: Claimed['kind'], { type, state }: Event): keyof Texts['subjects'] {
  if (kind !== 'single') return kind
  return type === 'integration.halted' && state === 'paused' ? 'paused' : type
}

function reauthText(texts: Texts, reason: string | null): string {
  const cause = causeOf(reason)
  return [...(cause === undefined ? [] : [texts.causes[cause]]), texts.authorizeAgain].join(' ')
}

function valuesOf(event: Event, count: number): Message['values'] {
  const { integration, accountId, domain, detail } = event
  return {
    account: domain ?? String(accountId ?? '?'),
    integration: integration ?? '?',
    count: String(count),
    days: String(detail.days_left ?? '?'),
    breaker: detail.breaker ?? '?',
    part: detail.part ?? '?',
    client: detail.client ?? '?',
    key: detail.key_id ?? '?',
    endpoint: detail.endpoint ?? '?',
  }
}
