import { sql } from 'kysely'
import type { Database } from '../db/database.ts'
import type { Heartbeat } from '../db/heartbeat.ts'
import type { AccountKey } from '../lib/account-key.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'

const BATCH = 5
const LEASE_SECONDS = 60
const RETRY_SECONDS = 10
/** After this time without a result the account stays as it is, and its next refresh decides. */
const GIVE_UP_HOURS = 24
const MINUTE_MS = 60_000

export interface WaitingHook extends AccountKey {
  id: string
}

export type DisconnectOutcome = 'disconnected' | 'still_connected' | 'nothing_to_do'

interface DisconnectInboxDependencies {
  database: Database
  heartbeat: Heartbeat
  hash: KeyedHash
  owner: string
}

/**
 * Keeps disconnect hooks until their accounts are probed: rows of kind `disconnect` in `amo_inbox`.
 */
export class DisconnectInbox {
  readonly #database: Database
  readonly #heartbeat: Heartbeat
  readonly #hash: KeyedHash
  readonly #owner: string

  constructor({ database, heartbeat, hash, owner }: DisconnectInboxDependencies) {
    this.#database = database
    this.#heartbeat = heartbeat
    this.#hash = hash
    this.#owner = owner
  }

  /** Stores one hook per account and minute. */
  async receive({ integration, accountId }: AccountKey): Promise<void> {
    const minute = Math.floor(this.#heartbeat.nowMs() / MINUTE_MS)
    const fingerprint = this.#hash.of(
      JSON.stringify(['disconnect', integration, accountId, minute]),
    )
    // The owner of an integration's secret can sign for any account number, so only known accounts
    // count.
    await sql`
      insert into amo_inbox (kind, origin, integration, "accountId", fingerprint)
      select 'disconnect', 'hook', integration, "accountId", ${fingerprint} from amo_tokens
      where integration = ${integration} and "accountId" = ${accountId}
      on conflict (fingerprint) do nothing
    `.execute(this.#database.db)
  }

  async claim(): Promise<WaitingHook[]> {
    const { rows } = await sql<WaitingHook>`
      update amo_inbox set owner = ${this.#owner},
        "leaseUntil" = clock_timestamp() + ${LEASE_SECONDS} * interval '1 second'
      where id in (select id from amo_inbox
        where kind = 'disconnect' and "finishedAt" is null and "nextAttemptAt" <= now()
          and (owner is null or "leaseUntil" < clock_timestamp())
        order by "nextAttemptAt" limit ${BATCH} for update skip locked)
      returning id, integration, "accountId"
    `.execute(this.#database.db)
    return rows
  }

  /** Releases a hook for a later probe, or finishes it as unconfirmed when it is too old. */
  async release({ id }: WaitingHook): Promise<void> {
    await sql`
      update amo_inbox set owner = null, "leaseUntil" = null,
        "nextAttemptAt" = clock_timestamp() + ${RETRY_SECONDS} * interval '1 second',
        "finishedAt" = case when ${isOld} then clock_timestamp() end,
        outcome = case when ${isOld} then 'unconfirmed' end
      where id = ${id} and owner = ${this.#owner} and "finishedAt" is null
    `.execute(this.#database.db)
  }

  async finish({ id }: WaitingHook, outcome: DisconnectOutcome): Promise<void> {
    await sql`
      update amo_inbox set "finishedAt" = clock_timestamp(), outcome = ${outcome}
      where id = ${id} and owner = ${this.#owner} and "finishedAt" is null
    `.execute(this.#database.db)
  }
}

const isOld = sql`"receivedAt" < clock_timestamp() - ${GIVE_UP_HOURS} * interval '1 hour'`
