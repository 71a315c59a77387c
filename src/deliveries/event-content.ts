import { type EventRow, eventToJson } from '../events/event-json.ts'
import type { Claimed } from './claim.ts'

type Delivery = Pick<Claimed, 'kind' | 'messageId' | 'integration' | 'eventIds'>
type Events = readonly [EventRow, ...EventRow[]]

/** Returns the body of a webhook: the event as the stream has it, or the events of one message. */
export function webhookBody(delivery: Delivery, events: Events, consoleUrl: string) {
  const rendered = events.map((event) => eventToJson(event, consoleUrl))
  if (delivery.kind === 'single') return rendered[0]
  const { type, at } = events[0]
  return {
    id: delivery.messageId,
    type,
    timestamp: at.toISOString(),
    data: {
      grouping: delivery.kind,
      integration: delivery.integration,
      count: delivery.eventIds.length,
      console_url: pageOf(delivery, events, consoleUrl),
      events: rendered,
    },
  }
}

/** Returns the page of the console that a message leads to. */
export function pageOf(delivery: Delivery, events: Events, consoleUrl: string): string {
  const { kind, integration } = delivery
  if (kind !== 'group') return eventToJson(events[0], consoleUrl).data.console_url
  const query = new URLSearchParams({
    status: 'reauth_required',
    ...(integration !== null && { integration }),
  })
  return `${consoleUrl}/console/accounts?${query}`
}
