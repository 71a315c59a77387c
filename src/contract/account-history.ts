import { Type } from '../lib/type.ts'
import { IntegrationField, Time, TimeOrNull } from './fields.ts'
import { IntegrationQuery } from './tokens.ts'

export const AttemptsQuery = Type.Object(
  {
    ...IntegrationQuery.properties,
    failures: Type.Optional(
      Type.Boolean({ default: false, description: 'only attempts that failed' }),
    ),
    before: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: Number.MAX_SAFE_INTEGER,
        description: '`next` of the previous page',
      }),
    ),
    limit: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 200, default: 50, description: 'attempts per page' }),
    ),
  },
  { additionalProperties: false },
)

export const AttemptsSchema = Type.Object(
  {
    attempts: Type.Array(
      Type.Object({
        id: Type.Integer(),
        generation: Type.Integer({ description: 'the pair that it was to replace' }),
        replica: Type.String({ description: 'the process start that made it' }),
        purpose: Type.Enum(['refresh', 'canary', 'verdict'], {
          description: 'canary: the one send through an open breaker; verdict: only a probe',
        }),
        claimed_at: Time,
        sent_at: TimeOrNull,
        sends: Type.Integer(),
        finished_at: TimeOrNull,
        outcome: Type.Union([Type.String(), Type.Null()], {
          description: 'committed, refused, not_sent, lost or superseded; null: not finished',
        }),
        reason: Type.Union([Type.String(), Type.Null()], {
          description: 'a code, as in last_error',
        }),
        steps: Type.Array(
          Type.Object({
            kind: Type.String(),
            at: Time,
            replica: Type.String(),
            result: Type.Optional(Type.String()),
          }),
          { description: 'what happened, the oldest first' },
        ),
      }),
    ),
    next: Type.Union([Type.Integer(), Type.Null()]),
  },
  { description: 'one page, the newest first; `next` is null on the last one' },
)

export const ReadersSchema = Type.Object(
  {
    readers: Type.Array(Type.Object({ client: Type.String(), last_read_at: Time }), {
      description: 'clients that have read the token in the last week, the newest first',
    }),
    last_read_at: Type.Union(TimeOrNull.anyOf, {
      description: 'the last read by anybody, precise to six hours; null: never',
    }),
  },
  { description: 'who reads the token' },
)

export const ForecastSchema = Type.Object(
  {
    at: { ...Time, description: 'when the plan was counted, at most once a minute' },
    integrations: Type.Array(
      Type.Object({
        integration: Type.String(),
        state: Type.Enum(['running', 'paused', 'halted']),
        pace_per_second: Type.Number(),
        backlog: Type.Integer({ description: 'accounts that are due already' }),
        oldest_due_seconds: Type.Number(),
        clears_at: Type.Union(TimeOrNull.anyOf, {
          description: 'when nothing waits any more; null: not within 24 hours',
        }),
        hours: Type.Array(
          Type.Object({
            from: Time,
            due: Type.Integer({ description: 'refreshes that fall due in this hour' }),
            capacity: Type.Integer({ description: 'refreshes that the pace allows' }),
            backlog: Type.Integer({ description: 'refreshes that wait at the end of the hour' }),
          }),
        ),
      }),
    ),
  },
  { description: 'the refreshes of the next 24 hours' },
)

const OlderThanDays = Type.Integer({
  minimum: 1,
  maximum: 3_650,
  description: 'for how many days they must have been so',
})

export const CleanUpQuery = Type.Object(
  { older_than_days: OlderThanDays },
  { additionalProperties: false },
)

const Key = Type.Object(
  {
    integration: IntegrationField,
    account_id: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  },
  { additionalProperties: false },
)

export const CleanUpListSchema = Type.Object(
  {
    total: Type.Integer({ description: 'number of accounts that a clean-up would remove' }),
    accounts: Type.Array(Type.Ref('Account'), { description: 'the first of them' }),
  },
  { description: 'what a clean-up would remove' },
)

export const CleanUpBody = Type.Object(
  {
    older_than_days: OlderThanDays,
    accounts: Type.Array(Key, {
      minItems: 1,
      maxItems: 200,
      description: 'as GET /clean-up listed them; only these are removed',
    }),
  },
  { additionalProperties: false },
)

export const CleanedUpSchema = Type.Object(
  {
    removed: Type.Array(Key, { description: 'accounts that were removed' }),
    left: Type.Array(Key, {
      description: 'accounts that are left, because they have been connected or removed meanwhile',
    }),
  },
  { description: 'the result for each account' },
)
