import { type Kysely, sql } from 'kysely'
import type { Tables } from '../../src/db/tables.ts'

/** A change of an account that the chain objective counts. */
export interface StatusChange {
  kind: 'pair_lost' | 'revived'
  account: number
  atMs: number
}

/** Installs a trigger that records such changes, in the transaction of the change. */
export async function recordStatusChanges(db: Kysely<Tables>): Promise<void> {
  await sql`
    create table torture_status (
      kind text not null, account bigint not null, at timestamptz not null default clock_timestamp())
  `.execute(db)
  await sql`
    create function torture_status_note() returns trigger language plpgsql as $$
    begin
      if new.status = 'reauth_required' and new."lastErrorCode" = 'pair_lost' then
        insert into torture_status values ('pair_lost', new."accountId");
      elsif old.status = 'reauth_required' and new.generation = old.generation then
        insert into torture_status values ('revived', new."accountId");
      end if;
      return null;
    end $$`.execute(db)
  await sql`
    create trigger torture_status_note after update of status on amo_tokens
    for each row when (new.status <> old.status) execute function torture_status_note()
  `.execute(db)
}

export async function readStatusChanges(db: Kysely<Tables>): Promise<StatusChange[]> {
  const { rows } = await sql<StatusChange>`
    select kind, account, (extract(epoch from at) * 1000)::float8 as "atMs" from torture_status
  `.execute(db)
  return rows
}
