import { type Kysely, sql } from 'kysely'
import type { Tables } from '../../src/db/tables.ts'
import { tokenId } from '../../src/sandbox/tokens.ts'
import type { KeyRing } from '../../src/vault/key-ring.ts'
import { tokenAt } from '../../src/vault/sealed-places.ts'

/** A token pair that was stored in an account's row at some time. */
export interface Stored {
  account: number
  generation: number
  refreshTokenId: string
  atMs: number
}

/** Installs a trigger that records every pair written to `amo_tokens`, in the same transaction. */
export async function recordHistory(db: Kysely<Tables>): Promise<void> {
  await sql`
    create table torture_history (
      account bigint not null, integration text not null, generation bigint not null, sealed text not null,
      at timestamptz not null default clock_timestamp())`.execute(db)
  await sql`
    create function torture_note() returns trigger language plpgsql as $$
    begin
      insert into torture_history values (new."accountId", new.integration, new.generation, new."refreshToken");
      return null;
    end $$`.execute(db)
  await sql`
    create trigger torture_note after insert or update of generation on amo_tokens
    for each row when (new."refreshToken" is not null) execute function torture_note()`.execute(db)
}

export async function readHistory(db: Kysely<Tables>, keyRing: KeyRing): Promise<Stored[]> {
  const { rows } = await sql<{
    account: number
    integration: string
    generation: number
    sealed: string
    at: Date
  }>`select * from torture_history order by generation`.execute(db)
  return rows.map(({ account, integration, generation, sealed, at }) => {
    const place = tokenAt({ integration, accountId: account, generation }, 'refreshToken')
    return {
      account,
      generation,
      refreshTokenId: tokenId(keyRing.open(sealed, place).reveal()),
      atMs: at.getTime(),
    }
  })
}
