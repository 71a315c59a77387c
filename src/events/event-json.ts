import type { Static } from 'typebox'
import type { EventSchema } from '../contract/events.ts'
import type { Row } from '../db/tables.ts'
import { explainEvent } from './explain-event.ts'

/** A row of `amo_events`, as a query returns it. */
export type EventRow = Row<'amo_events'>

/**
 * Renders an event as every receiver sees it. It contains names, numbers, codes and fixed texts.
 *
 * @param consoleUrl origin of the console
 */
export function eventToJson(event: EventRow, consoleUrl: string): Static<typeof EventSchema> {
  return {
    id: event.id,
    type: event.type,
    timestamp: event.at.toISOString(),
    position: event.position ?? 0,
    delayed: event.delayed,
    data: {
      integration: event.integration,
      account_id: event.accountId,
      domain: event.domain,
      sequence: event.accountSequence,
      generation: event.generation,
      state: event.state,
      reason: event.reason,
      ...explainEvent(event.type, event.reason),
      console_url: consoleUrl + pathOf(event),
      ...event.detail,
    },
  }
}

/** Returns the page of the console that belongs to the event. */
function pathOf({ type, integration, accountId }: EventRow): string {
  if (type === 'onboarding.failed') return '/console/onboarding'
  if (type === 'account.removed') return '/console/accounts'
  if (integration !== null && accountId !== null) {
    return `/console/accounts/${integration}/${accountId}`
  }
  if (integration !== null) return `/console/integrations/${integration}`
  if (type.startsWith('client_key.')) return '/console/clients'
  if (type.startsWith('endpoint.')) return '/console/endpoints'
  return '/console/doctor'
}
