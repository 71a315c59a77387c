import { type Kysely, sql } from 'kysely'
import type { Act } from '../audit/act.ts'
import type { Database } from '../db/database.ts'
import type { Tables } from '../db/tables.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'
import { inboxAt } from '../vault/sealed-places.ts'
import type { Secret } from '../vault/secret.ts'
import type { Callback } from './callback.ts'
import { hasTooManyCodes } from './code-limit.ts'
import type { CallbackProblem } from './outcomes.ts'

/**
 * Unproven callbacks of one integration: as many as the slow lane can work off while their codes
 * live.
 */
const MAX_UNPROVEN = 500

interface ReceiveContext {
  database: Database
  keyRing: KeyRing
  fingerprints: KeyedHash
}

/** The id of the stored callback, or why it was not stored. */
export type ReceivedCallback = { id: string; isNew: boolean } | { problem: CallbackProblem }

/**
 * Stores a callback in the inbox, its code sealed. The fingerprint of a code is unique for ever, so
 * a code that arrived before gives the id of its first row. Refuses it when a limit is reached, or
 * when the code was taken long ago. `act` is recorded in the same transaction.
 */
export async function receiveCallback(
  context: ReceiveContext,
  callback: Callback,
  receivedAtMs?: number,
  act?: Act,
): Promise<ReceivedCallback> {
  const { database, fingerprints } = context
  const { code, linkId, exchangeId } = callback
  if (linkId !== undefined) return receiveByLink(context, { ...callback, linkId }, receivedAtMs)
  const id = await database.db.transaction().execute(async (trx) => {
    await act?.record(trx)
    return insert(context, trx, callback, receivedAtMs)
  })
  if (id !== undefined) return { id, isNew: true }
  const known = await findByCode(database.db, fingerprints, code)
  if (known !== undefined) return { id: known, isNew: false }
  if (exchangeId !== undefined) return { problem: 'link_used' }
  return { problem: await whyNotStored(context, callback) }
}

/** Orders the codes of one link, so that each is counted before the next one is stored. */
function receiveByLink(
  context: ReceiveContext,
  callback: Callback & { linkId: string },
  receivedAtMs?: number,
): Promise<ReceivedCallback> {
  const { database, fingerprints } = context
  const { code, linkId, browser = '' } = callback
  const browserHash = fingerprints.of(JSON.stringify([linkId, browser]))
  return database.db.transaction().execute(async (trx) => {
    await sql`select pg_advisory_xact_lock(hashtextextended(${linkId}, 1))`.execute(trx)
    const before = await findByCode(trx, fingerprints, code)
    if (before !== undefined) return { id: before, isNew: false }
    if (await hasTooManyCodes(trx, linkId, browserHash)) return { problem: 'too_many_codes' }
    const id = await insert(context, trx, callback, receivedAtMs, browserHash)
    if (id !== undefined) return { id, isNew: true }
    const meanwhile = await findByCode(trx, fingerprints, code)
    return meanwhile === undefined ? { problem: 'code_used' } : { id: meanwhile, isNew: false }
  })
}

/** @returns `undefined` when the code is known, or too many unproven callbacks are waiting. */
async function insert(
  { keyRing, fingerprints }: ReceiveContext,
  db: Kysely<Tables>,
  { origin, integration, code, referer, linkId, exchangeId }: Callback,
  receivedAtMs: number | undefined,
  browserHash: string | null = null,
): Promise<string | undefined> {
  const fingerprint = fingerprints.of(code)
  const secret = keyRing.seal(code, inboxAt(fingerprint, 'secret'))
  const receivedAt = receivedAtMs === undefined ? null : new Date(receivedAtMs)
  const { rows } = await sql<{ id: string }>`
    insert into amo_inbox (kind, origin, integration, fingerprint, secret, referer, "linkId",
      "browserHash", "exchangeId", "receivedAt")
    select 'callback', ${origin}, ${integration}, ${fingerprint}, ${secret}, ${referer}, ${linkId ?? null}::uuid,
      ${browserHash}, ${exchangeId ?? null}::uuid, coalesce(${receivedAt}::timestamptz, clock_timestamp())
    where not exists (select from amo_known_codes where fingerprint = ${fingerprint})
      and (${origin} <> 'install' or (select count(*) from amo_inbox
        where kind = 'callback' and origin = 'install' and integration = ${integration}
          and "finishedAt" is null) < ${MAX_UNPROVEN})
    on conflict do nothing
    returning id
  `.execute(db)
  return rows[0]?.id
}

/** Finds the id of the callback that brought this code. */
export async function findByCode(
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

async function whyNotStored(
  { database, fingerprints }: ReceiveContext,
  { origin, code }: Callback,
): Promise<CallbackProblem> {
  const known = await database.db
    .selectFrom('amo_known_codes')
    .select('fingerprint')
    .where('fingerprint', '=', fingerprints.of(code))
    .executeTakeFirst()
  return known === undefined && origin === 'install' ? 'too_many_installs' : 'code_used'
}
