import { type Kysely, sql } from 'kysely'
import { tokenAt } from '../../src/accounts/sealed-tokens.ts'
import type { Tables } from '../../src/db/tables.ts'
import { tokenId } from '../../src/sandbox/tokens.ts'
import type { KeyRing } from '../../src/vault/key-ring.ts'

/** A pair that stood in an account's row. */
export interface Stored {
  account: number
  generation: number
  refreshTokenId: string
  atMs: number
}

/** Lets the database itself write down, in the same transaction, every pair that ever comes into `amo_tokens`. */
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
