import { sql } from 'kysely'
import { endingKeys } from '../accounts/expiry-watch.ts'
import type { Database } from '../db/database.ts'
import type { PeriodicWork } from '../lib/periodic-task.ts'

/** Announcements are made days before the end, so minutes do not matter. */
const INTERVAL_MS = 600_000

/** Days before the end, of the most urgent announcement that is due. */
const daysLeft = sql`case when "endsAt" < clock_timestamp() + interval '1 day' then 1
  when "endsAt" < clock_timestamp() + interval '3 days' then 3 else 14 end`

/** The end as JSON has it. */
const endText = sql`to_char("endsAt", 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`

/**
 * Announces tokens and keys that end, 14, 3 and 1 days before. Each announcement has a key, so that
 * replicas and restarts do not repeat it.
 */
export class EndingWatch implements PeriodicWork {
  readonly name = 'announcements of what ends'
  readonly intervalMs = INTERVAL_MS
  readonly #database: Pick<Database, 'db'>

  constructor(database: Pick<Database, 'db'>) {
    this.#database = database
  }

  async run(): Promise<void> {
    await this.#announceTokens()
    await this.#announceKeys()
  }

  async #announceTokens(): Promise<void> {
    await sql`
      with ending as (
        select integration, "accountId", amo_event_domain(domain) as domain, generation, status, kind,
          case when kind = 'long_lived' then "expiresAt" else "refreshTokenExpiresAt" end as "endsAt"
        from amo_tokens where (integration, "accountId") in (${endingKeys('any')})
      ), due as (select *, ${daysLeft} as days from ending)
      insert into amo_events (type, integration, "accountId", domain, generation, state, reason, detail, "dedupeKey")
      select 'account.ending_soon', integration, "accountId", domain, generation, status,
        case when kind = 'long_lived' then 'long_lived_token_ends_soon' else 'refresh_token_ends_soon' end,
        jsonb_build_object('days_left', days, 'ends_at', ${endText}),
        format('account %s/%s/%s ends in %s', integration, "accountId", generation, days)
      from due order by "endsAt"
      on conflict ("dedupeKey") do nothing
    `.execute(this.#database.db)
  }

  /** A key that is being replaced ends on purpose: only the last key of a client counts. */
  async #announceKeys(): Promise<void> {
    await sql`
      with ending as (
        select distinct on (name) name, key->>'id' as "keyId", (key->>'expiresAt')::timestamptz as "endsAt"
        from amo_clients, jsonb_array_elements(keys) key
        where "revokedAt" is null
        order by name, (key->>'expiresAt')::timestamptz desc nulls first
      ), due as (
        select *, ${daysLeft} as days from ending
        where "endsAt" between clock_timestamp() and clock_timestamp() + interval '14 days'
      )
      insert into amo_events (type, state, detail, "dedupeKey")
      select 'client_key.ending_soon', 'valid', jsonb_build_object('client', name, 'key_id', "keyId",
          'days_left', days, 'ends_at', ${endText}),
        format('key %s ends in %s', "keyId", days)
      from due order by "endsAt"
      on conflict ("dedupeKey") do nothing
    `.execute(this.#database.db)
  }
}
