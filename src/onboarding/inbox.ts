import { type Kysely, type RawBuilder, type Selectable, sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'
import type { KeyRing, SealedAt } from '../vault/key-ring.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'
import type { Secret } from '../vault/secret.ts'

export type InboxRow = Selectable<Tables['amo_inbox']>

/** Longer than the exchange and all that follows it may take. */
const LEASE_SECONDS = 120
const RETRY_SECONDS = 5

export interface Callback {
  /** How it came: by a link, from inside the CRM, for an API key, from an operator. */
  origin: 'consent' | 'install' | 'exchange' | 'manual'
  integration: string
  code: Secret
  /** The account's host, as the profile allows it; null where the token endpoint needs none. */
  referer: string | null
  linkId?: string
  exchangeId?: string
}

/** Of one integration, without any proof of where they come from: as many as the slow lane can work off while their codes live. */
const MAX_UNPROVEN = 500

/**
 * Stores a callback before anything is done about it; the code sealed; one insert. A code that came before gives the row of
 * then: its fingerprint is unique for ever. Undefined: too many of the unproven kind wait already.
 */
export async function receiveCallback(
  db: Kysely<Tables>,
  keyRing: KeyRing,
  fingerprints: KeyedHash,
  { origin, integration, code, referer, linkId, exchangeId }: Callback,
  receivedAtMs?: number,
): Promise<{ id: string; isNew: boolean } | undefined> {
  const fingerprint = fingerprints.of(code)
  const secret = keyRing.seal(code, inboxAt(fingerprint, 'secret'))
  const receivedAt =
    receivedAtMs === undefined
      ? sql`clock_timestamp()`
      : sql`${new Date(receivedAtMs)}::timestamptz`
  const { rows } = await sql<{ id: string }>`
    insert into amo_inbox (kind, origin, integration, fingerprint, secret, referer, "linkId", "exchangeId", "receivedAt")
    select 'callback', ${origin}, ${integration}, ${fingerprint}, ${secret}, ${referer}, ${linkId ?? null}::uuid,
      ${exchangeId ?? null}::uuid, ${receivedAt}
    where ${origin} <> 'install' or (select count(*) from amo_inbox
      where kind = 'callback' and origin = 'install' and integration = ${integration}
        and "finishedAt" is null) < ${MAX_UNPROVEN}
    on conflict (fingerprint) do nothing
    returning id
  `.execute(db)
  const [inserted] = rows
  if (inserted !== undefined) return { id: inserted.id, isNew: true }
  const known = await findCallbackByCode(db, fingerprints, code)
  return known === undefined ? undefined : { id: known, isNew: false }
}

/** The id of the callback that brought this code before. */
export async function findCallbackByCode(
  db: Kysely<Tables>,
  fingerprints: KeyedHash,
  code: Secret,
): Promise<string | undefined> {
  const row = await db
    .selectFrom('amo_inbox')
    .select('id')
    .where('fingerprint', '=', fingerprints.of(code))
    .executeTakeFirst()
  return row?.id
}

/** Who works on the inbox: this process start, of this deployment. */
export interface Worker {
  owner: string
  /** Null: this process holds, and takes up nothing. */
  deploymentId: string | null
}

/** A copy of the database presents no code: the original does. */
export function belongsTo(deploymentId: string | null): RawBuilder<unknown> {
  return sql`exists (select from amo_deployment where "deploymentId" = ${deploymentId})`
}

/** The sealed place of a code, or of the pair that it brought: bound to the code, so that it fits no other row. */
export function inboxAt(fingerprint: string, column: 'secret' | 'pair'): SealedAt {
  return { table: 'amo_inbox', row: fingerprint, column, generation: 0 }
}

/**
 * Takes a callback to work on. Its code, if it is still there, counts as presented from now on: it is handed out once.
 * Undefined: somebody else has it, or it is done.
 */
export async function claimCallback(
  db: Kysely<Tables>,
  id: string,
  { owner, deploymentId }: Worker,
): Promise<InboxRow | undefined> {
  const { rows } = await sql<InboxRow>`
    update amo_inbox
    set owner = ${owner}, "presentedAt" = coalesce("presentedAt", clock_timestamp()),
      "leaseUntil" = clock_timestamp() + ${LEASE_SECONDS} * interval '1 second'
    where id = ${id} and kind = 'callback' and "finishedAt" is null
      and ("presentedAt" is null or pair is not null)
      and (owner is null or "leaseUntil" < clock_timestamp())
      and ${belongsTo(deploymentId)}
    returning *
  `.execute(db)
  return rows[0]
}

/**
 * The pair that the code brought; the code is forgotten. From here on anybody can finish the onboarding, also one that was
 * given up meanwhile as interrupted. Does nothing where the pair is known already, or the onboarding has ended.
 */
export async function keepPair(
  db: Kysely<Tables>,
  id: string,
  pair: string,
  sentAt: Date,
): Promise<void> {
  await sql`
    update amo_inbox set pair = ${pair}, "pairSentAt" = ${sentAt}, secret = null,
      "finishedAt" = null, outcome = null,
      "leaseUntil" = clock_timestamp() + ${LEASE_SECONDS} * interval '1 second'
    where id = ${id} and pair is null and ("finishedAt" is null or outcome = 'interrupted')
  `.execute(db)
}

/** The process that worked on it has died, and left its answer on this disk: whoever comes first goes on, without its lease's end. */
export async function releaseDead(db: Kysely<Tables>, id: string, me: Worker): Promise<void> {
  await sql`
    update amo_inbox set owner = null, "leaseUntil" = null
    where id = ${id} and owner <> ${me.owner} and "finishedAt" is null
  `.execute(db)
}

/** Locks a callback that is still this owner's to finish. False: somebody else took it up since. */
export async function lockCallback(
  trx: Transaction<Tables>,
  id: string,
  { owner }: Worker,
): Promise<boolean> {
  const row = await trx
    .selectFrom('amo_inbox')
    .select('id')
    .where('id', '=', id)
    .where('owner', '=', owner)
    .where('finishedAt', 'is', null)
    .forUpdate()
    .executeTakeFirst()
  return row !== undefined
}

/**
 * Lets a callback go, to be taken up again a little later: its code is proved unspent, or its pair is kept. Like the end
 * below, only by who works on it: one who was taken for dead changes nothing any more.
 */
export async function giveBackCallback(
  db: Kysely<Tables>,
  id: string,
  { owner }: Worker,
): Promise<void> {
  await sql`
    update amo_inbox
    set "presentedAt" = case when pair is not null then "presentedAt" end, owner = null, "leaseUntil" = null,
      "nextAttemptAt" = clock_timestamp() + ${RETRY_SECONDS} * interval '1 second'
    where id = ${id} and owner = ${owner} and "finishedAt" is null
  `.execute(db)
}

/**
 * Says how it ended, and forgets the code. The pair is forgotten once it is stored with its account; one that was not
 * accepted stays here, sealed, for none that arrived is ever thrown away.
 */
export async function finishCallback(
  db: Kysely<Tables> | Transaction<Tables>,
  id: string,
  { owner }: Worker,
  outcome: string,
  account?: { accountId: number; domain: string },
): Promise<void> {
  await db
    .updateTable('amo_inbox')
    .set({
      outcome,
      finishedAt: sql<Date>`clock_timestamp()`,
      secret: null,
      ...(account === undefined ? {} : { ...account, pair: null }),
    })
    .where('id', '=', id)
    .where('owner', '=', owner)
    .where('finishedAt', 'is', null)
    .execute()
}

/**
 * Callbacks that nobody works on: received by a process that died, or given back. Codes that ran out, exchanges that broke
 * off after the code was sent, and pairs that nobody confirmed for an hour are finished here. A code lives 20 minutes
 * (provider page, part 2).
 */
export async function findWaitingCallbacks(
  db: Kysely<Tables>,
  { deploymentId }: Worker,
): Promise<string[]> {
  await sql`
    update amo_inbox set "finishedAt" = clock_timestamp(), secret = null,
      outcome = case when pair is not null then 'domain_unconfirmed'
        when "presentedAt" is null then 'code_expired' else 'interrupted' end
    where kind = 'callback' and "finishedAt" is null and ${belongsTo(deploymentId)} and case
      when pair is not null then "pairSentAt" < clock_timestamp() - interval '1 hour'
        and (owner is null or "leaseUntil" < clock_timestamp())
      when "presentedAt" is null then "receivedAt" < clock_timestamp() - interval '20 minutes'
      else "leaseUntil" < clock_timestamp() end
  `.execute(db)
  const { rows } = await sql<{ id: string }>`
    select id from amo_inbox
    where kind = 'callback' and "finishedAt" is null and "nextAttemptAt" <= clock_timestamp()
      and (pair is not null or ("presentedAt" is null and origin <> 'install'))
      and (owner is null or "leaseUntil" < clock_timestamp())
      and "receivedAt" < clock_timestamp() - interval '2 seconds' and ${belongsTo(deploymentId)}
    order by "nextAttemptAt" limit 20
  `.execute(db)
  return rows.map(({ id }) => id)
}

export function findCallback(db: Kysely<Tables>, id: string): Promise<InboxRow | undefined> {
  return db
    .selectFrom('amo_inbox')
    .selectAll()
    .where('id', '=', id)
    .where('kind', '=', 'callback')
    .executeTakeFirst()
}
