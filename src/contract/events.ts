import { Type } from '../lib/type.ts'
import { IntegerOrNull, StringOrNull, Time } from './fields.ts'

/** What an event reports. docs/events.md explains each. */
export const EVENT_TYPES = [
  'account.connected',
  'account.pending',
  'account.reauth_required',
  'account.recovered',
  'account.disconnected',
  'account.ending_soon',
  'account.removed',
  'integration.halted',
  'integration.resumed',
  'integration.client_rejected',
  'breaker.opened',
  'breaker.closed',
  'broker.degraded',
  'broker.recovered',
  'onboarding.failed',
  'client_key.ending_soon',
  'endpoint.disabled',
  'endpoint.test',
] as const
export type EventType = (typeof EVENT_TYPES)[number]

const position = (description: string) =>
  Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description }))

export const EventsQuery = Type.Object(
  {
    after: position('`next` of the previous page; without it, the oldest events come first'),
    limit: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 500, default: 100, description: 'events on a page' }),
    ),
  },
  { additionalProperties: false },
)

export const StreamQuery = Type.Object(
  {
    after: position(
      'position to continue after; `Last-Event-ID` comes first; without both, only new events',
    ),
  },
  { additionalProperties: false },
)

export const StreamHeaders = Type.Object({
  'last-event-id': Type.Optional(
    Type.String({ maxLength: 20, description: 'position of the last event that was received' }),
  ),
})

const detail = (description: string) => Type.Optional(Type.String({ description }))

export const EventSchema = Type.Object(
  {
    id: Type.String({ description: 'the same wherever and however often the event is delivered' }),
    type: Type.Enum([...EVENT_TYPES]),
    timestamp: Type.String({ ...Time, description: 'when it happened' }),
    position: Type.Integer({ description: 'the place in the order of all events' }),
    delayed: Type.Boolean({
      description: 'it happened while PostgreSQL could not be written to, and was recorded later',
    }),
    data: Type.Object({
      integration: StringOrNull,
      account_id: IntegerOrNull,
      domain: StringOrNull,
      sequence: Type.Union([Type.Integer(), Type.Null()], {
        description: 'number of the event among those of the account, from 1',
      }),
      generation: IntegerOrNull,
      state: Type.Union([Type.String(), Type.Null()], {
        description: 'the state after the change',
      }),
      reason: Type.Union([Type.String(), Type.Null()], { description: 'why, as a code' }),
      problem: Type.String({ description: 'what happened' }),
      remedy: Type.String({ description: 'what to do' }),
      console_url: Type.String({ description: 'where an operator sees more' }),
      days_left: Type.Optional(Type.Integer({ description: 'days until it ends, at most' })),
      ends_at: detail('when it ends'),
      breaker: detail('the platform, or the integration, that the breaker stops'),
      part: detail('the part of the broker that does not work'),
      client: detail('the client whose key ends'),
      key_id: detail('the public id of the key'),
      endpoint: detail('the name of the endpoint'),
      onboarding: detail('id of the onboarding'),
    }),
  },
  {
    $id: 'Event',
    description: 'something that happened; it contains no token and no connect link',
  },
)

export const EventPageSchema = Type.Object(
  {
    events: Type.Array(Type.Ref('Event')),
    next: Type.Integer({ description: 'send it as `after` to get the events that follow' }),
    more: Type.Boolean({ description: 'whether further events follow now' }),
  },
  { description: 'events in the order of their positions' },
)
