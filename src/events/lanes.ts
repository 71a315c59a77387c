import { sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { type AccountKey, keyText } from '../lib/account-key.ts'
import type { EventRow } from './event-json.ts'

/**
 * The deliveries of one endpoint that were not sent yet, by account, the newest last. A new one
 * waits for the newest of its account.
 */
export class Lanes {
  readonly #pending: Map<string, number[]>

  private constructor(pending: Map<string, number[]>) {
    this.#pending = pending
  }

  /** Reads the deliveries of the accounts of these events. */
  static async read(
    trx: Transaction<Tables>,
    endpointId: string,
    events: readonly EventRow[],
  ): Promise<Lanes> {
    const keys = events.flatMap((event) => accountOf(event) ?? [])
    if (keys.length === 0) return new Lanes(new Map())
    const { rows } = await sql<AccountKey & { id: number }>`
      with accounts as (
        select distinct * from unnest(${keys.map(({ integration }) => integration)}::text[],
          ${keys.map(({ accountId }) => accountId)}::bigint[]) a(integration, "accountId")
      )
      select d.id, a.integration, a."accountId" from accounts a join amo_deliveries d
        on d."endpointId" = ${endpointId} and d.state = 'pending'
          and d.integration = a.integration and d."accountId" = a."accountId"
      union
      select d.id, a.integration, a."accountId" from amo_deliveries d
        join amo_events e on e.id = any(d."eventIds")
        join accounts a on a.integration = e.integration and a."accountId" = e."accountId"
      where d."endpointId" = ${endpointId} and d.state = 'pending' and d.kind = 'group'
      order by 1
    `.execute(trx)
    const byAccount = Map.groupBy(rows, keyText)
    return new Lanes(new Map(Array.from(byAccount, ([key, ids]) => [key, ids.map(({ id }) => id)])))
  }

  /** Returns the deliveries of the account that are pending. */
  of(event: EventRow): readonly number[] {
    const account = accountOf(event)
    return account === undefined ? [] : (this.#pending.get(keyText(account)) ?? [])
  }

  /** Adds a delivery behind the others of the account. */
  add(event: EventRow, id: number): void {
    const account = accountOf(event)
    if (account !== undefined) this.#pending.set(keyText(account), [...this.of(event), id])
  }

  /** Replaces a delivery that was merged into another one. */
  replace(merged: number, id: number): void {
    for (const [key, ids] of this.#pending) {
      if (ids.includes(merged)) this.#pending.set(key, [id])
    }
  }
}

function accountOf({ integration, accountId }: EventRow): AccountKey | undefined {
  return integration === null || accountId === null ? undefined : { integration, accountId }
}
