import { Type } from '../lib/type.ts'
import { EVENT_TYPES } from './events.ts'
import {
  IntegerOrNull,
  IntegrationField,
  OriginField,
  StringOrNull,
  Time,
  TimeOrNull,
  UuidField,
} from './fields.ts'

const ENDPOINT_NAME = '^[a-z0-9][a-z0-9-]{0,62}$'
const MAX_URL_LENGTH = 2_000
const MAX_OVERLAP_SECONDS = 30 * 24 * 3600
const OVERLAP_SECONDS = 24 * 3600

const Kind = Type.Enum(['webhook', 'telegram', 'slack'])
const Language = Type.Enum(['en', 'ru', 'uk', 'es'], {
  description: 'language of the messages to Telegram and Slack',
})
const DeliveryState = Type.Enum(['pending', 'delivered', 'failed', 'cancelled', 'grouped'])

/** What can be chosen at creation and changed later. */
const SETTINGS = {
  url: Type.Optional(
    Type.String({
      maxLength: MAX_URL_LENGTH,
      pattern: '^https?://[^\\s]+$',
      description:
        'of a webhook, or of an incoming webhook of Slack; responses show its origin only',
    }),
  ),
  bot_token: Type.Optional(
    Type.String({
      pattern: '^[0-9]{1,20}:[A-Za-z0-9_-]{20,100}$',
      description: 'Telegram: token of the bot',
    }),
  ),
  chat_id: Type.Optional(
    Type.String({
      pattern: '^(?:-?[0-9]{1,20}|@[A-Za-z0-9_]{3,64})$',
      description: 'Telegram: id of the chat, or @name of a public channel',
    }),
  ),
  api_origin: Type.Optional({
    ...OriginField,
    description: 'Telegram: origin of your own Bot API server; omitted: that of Telegram',
  }),
  language: Type.Optional(Language),
  types: Type.Optional(
    Type.Union([Type.Array(Type.Enum([...EVENT_TYPES]), { maxItems: 50 }), Type.Null()], {
      description: 'only events of these types; null: all',
    }),
  ),
  integrations: Type.Optional(
    Type.Union([Type.Array(IntegrationField, { maxItems: 100 }), Type.Null()], {
      description: 'only events of these integrations, and those of none; null: all',
    }),
  ),
  grouped: Type.Optional(
    Type.Boolean({
      description:
        'many lost accounts within ten minutes are one message; omitted: true for Telegram and Slack',
    }),
  ),
}

export const EndpointParams = Type.Object({
  endpoint: Type.String({ pattern: ENDPOINT_NAME, description: 'name of the endpoint' }),
})

export const DeliveryParams = Type.Object({
  ...EndpointParams.properties,
  delivery: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description: '`id`' }),
})

export const EndpointBody = Type.Object(
  {
    name: Type.String({ pattern: ENDPOINT_NAME, description: 'name of the endpoint' }),
    kind: Kind,
    ...SETTINGS,
  },
  { additionalProperties: false },
)

export const EndpointChangeBody = Type.Object(SETTINGS, {
  additionalProperties: false,
  minProperties: 1,
})

export const RotateBody = Type.Object(
  {
    overlap_seconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: MAX_OVERLAP_SECONDS,
        default: OVERLAP_SECONDS,
        description: 'how long messages are signed with the previous secret, too',
      }),
    ),
  },
  { additionalProperties: false },
)

export const EndpointSchema = Type.Object(
  {
    name: Type.String(),
    kind: Kind,
    origin: Type.String({ description: 'origin of the URL; the rest is secret' }),
    language: Language,
    types: Type.Union([Type.Array(Type.String()), Type.Null()]),
    integrations: Type.Union([Type.Array(Type.String()), Type.Null()]),
    grouped: Type.Boolean(),
    state: Type.Enum(['active', 'disabled']),
    disabled_reason: Type.Union([Type.String(), Type.Null()], {
      description: '`operator`, `gone` (it answered 410), `failing` (for five days)',
    }),
    failing_since: TimeOrNull,
    last_success_at: TimeOrNull,
    last_error: Type.Union([Type.String(), Type.Null()], {
      description: 'code of the last failure, see docs/events.md',
    }),
    previous_secret_until: TimeOrNull,
    created_by: Type.String(),
    created_at: Time,
    updated_at: Time,
  },
  { $id: 'Endpoint', description: 'a receiver of events, without its secrets' },
)

export const EndpointListSchema = Type.Object(
  { endpoints: Type.Array(Type.Ref('Endpoint')) },
  { description: 'all endpoints' },
)

export const EndpointWithSecretSchema = Type.Object(
  {
    endpoint: Type.Ref('Endpoint'),
    signing_secret: Type.Union([Type.String(), Type.Null()], {
      description: 'of a webhook: shown only this once; null for other kinds',
    }),
  },
  { $id: 'EndpointWithSecret', description: 'an endpoint with its new secret' },
)

export const TestedSchema = Type.Object(
  { event_id: Type.String({ description: 'id of the event that is on its way' }) },
  { description: 'GET /endpoints/:endpoint/deliveries?event= shows what became of it' },
)

export const DeliveriesQuery = Type.Object(
  {
    state: Type.Optional({ ...DeliveryState, description: 'only deliveries in this state' }),
    event: Type.Optional({ ...UuidField, description: 'only deliveries of this event' }),
    before: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: Number.MAX_SAFE_INTEGER,
        description: '`next` of the previous page',
      }),
    ),
  },
  { additionalProperties: false },
)

export const DeliverySchema = Type.Object(
  {
    id: Type.Integer(),
    webhook_id: Type.String({ description: 'the same for every attempt' }),
    type: StringOrNull,
    grouping: Type.Enum(['single', 'group', 'flapping']),
    events: Type.Integer({ description: 'number of events in the message' }),
    integration: StringOrNull,
    account_id: IntegerOrNull,
    state: DeliveryState,
    failed_attempts: Type.Integer(),
    next_attempt_at: TimeOrNull,
    last_status: Type.Union([Type.Integer(), Type.Null()], { description: 'HTTP status' }),
    last_error: Type.Union([Type.String(), Type.Null()], {
      description: 'code of the last failure, see docs/events.md',
    }),
    attempts: Type.Array(
      Type.Object({
        at: Time,
        status: IntegerOrNull,
        error: StringOrNull,
        ms: Type.Integer(),
        response: Type.Union([Type.String(), Type.Null()], {
          description: 'beginning of what the receiver answered',
        }),
      }),
      { description: 'the newest 20 attempts, the oldest first' },
    ),
    created_at: Time,
    finished_at: TimeOrNull,
  },
  { $id: 'Delivery', description: 'a message on its way to an endpoint' },
)

export const DeliveryPageSchema = Type.Object(
  { deliveries: Type.Array(Type.Ref('Delivery')), next: IntegerOrNull },
  { description: 'one page, the newest first; `next` is null on the last one' },
)
