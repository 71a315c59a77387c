import { type Selectable, sql, type Transaction } from 'kysely'
import type { Act } from '../audit/act.ts'
import type { Database } from '../db/database.ts'
import type { Tables } from '../db/tables.ts'
import { pairFromJson, pairToJson } from '../pairs/received-pair.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'
import { inboxAt } from '../vault/sealed-places.ts'
import type { Secret } from '../vault/secret.ts'
import type { Callback, InboxPair } from './callback.ts'
import type { OnboardingOutcome, OnOnboardingEnd } from './outcomes.ts'
import { findByCode, type ReceivedCallback, receiveCallback } from './receive-callback.ts'
import { belongsTo, type Worker } from './worker.ts'

export type InboxRow = Selectable<Tables['amo_inbox']>

/** Longer than the exchange and the steps after it may take. */
const LEASE_SECONDS = 120
const RETRY_SECONDS = 5
/** The number of rows that one run of the worker continues. */
const BATCH = 20

interface InboxDependencies {
  database: Database
  keyRing: KeyRing
  fingerprints: KeyedHash
  worker: Worker
  /** Called when an onboarding has ended in this process. */
  onEnd: OnOnboardingEnd
}

/**
 * Keeps callbacks until their onboarding has ended (`amo_inbox`). Codes and pairs are sealed. A row
 * is worked on under a lease, and only its owner releases or finishes it.
 *
 * received → presented (claim) → pair stored → finished
 */
export class Inbox {
  readonly #with: InboxDependencies

  constructor(dependencies: InboxDependencies) {
    this.#with = dependencies
  }

  /** Stores a callback (receive-callback.ts). `act` is recorded in the same transaction. */
  receive(callback: Callback, receivedAtMs?: number, act?: Act): Promise<ReceivedCallback> {
    return receiveCallback(this.#with, callback, receivedAtMs, act)
  }

  /** Finds the id of the callback that brought this code. */
  findByCode(code: Secret): Promise<string | undefined> {
    return findByCode(this.#with.database.db, this.#with.fingerprints, code)
  }

  find(id: string): Promise<InboxRow | undefined> {
    return this.#with.database.db
      .selectFrom('amo_inbox')
      .selectAll()
      .where('id', '=', id)
      .where('kind', '=', 'callback')
      .executeTakeFirst()
  }

  /**
   * Claims a callback. If it still has its code, the code counts as presented from now on, so that
   * it is presented once.
   *
   * @returns `undefined` when another process has it, or when it has ended.
   */
  async claim(id: string): Promise<InboxRow | undefined> {
    const { owner, deploymentId } = this.#with.worker
    const { rows } = await sql<InboxRow>`
      update amo_inbox
      set owner = ${owner}, "presentedAt" = coalesce("presentedAt", clock_timestamp()),
        "leaseUntil" = clock_timestamp() + ${LEASE_SECONDS} * interval '1 second'
      where id = ${id} and kind = 'callback' and "finishedAt" is null
        and ("presentedAt" is null or pair is not null)
        and (owner is null or "leaseUntil" < clock_timestamp())
        and ${belongsTo(deploymentId)}
      returning *
    `.execute(this.#with.database.db)
    return rows[0]
  }

  /** Opens the code of a claimed row. Throws `KeyMissing`. */
  openCode({ fingerprint, secret }: InboxRow): Secret {
    return this.#with.keyRing.open(secret ?? '', inboxAt(fingerprint, 'secret'))
  }

  /** Opens the pair of a claimed row. Throws `KeyMissing`. */
  openPair({ fingerprint, pair, pairSentAt, receivedAt }: InboxRow): InboxPair {
    const text = this.#with.keyRing.open(pair ?? '', inboxAt(fingerprint, 'pair'))
    return { pair: pairFromJson(text.reveal()), sentAt: pairSentAt ?? receivedAt }
  }

  /**
   * Stores the pair that the code brought and deletes the code. From here on any replica can finish
   * the onboarding, even one that was ended as interrupted in the meantime. Does nothing if the row
   * has its pair already or has ended otherwise.
   */
  async storePair(
    { id, fingerprint }: Pick<InboxRow, 'id' | 'fingerprint'>,
    { pair, sentAt }: InboxPair,
  ): Promise<void> {
    const sealed = this.#with.keyRing.seal(pairToJson(pair), inboxAt(fingerprint, 'pair'))
    await sql`
      update amo_inbox set pair = ${sealed}, "pairSentAt" = ${sentAt}, secret = null,
        "finishedAt" = null, outcome = null,
        "leaseUntil" = clock_timestamp() + ${LEASE_SECONDS} * interval '1 second'
      where id = ${id} and pair is null and ("finishedAt" is null or outcome = 'interrupted')
    `.execute(this.#with.database.claims)
  }

  /** Ends the lease of the process that died and left its response on this disk. */
  async releaseFromDeadOwner(id: string): Promise<void> {
    await sql`
      update amo_inbox set owner = null, "leaseUntil" = null
      where id = ${id} and owner <> ${this.#with.worker.owner} and "finishedAt" is null
    `.execute(this.#with.database.db)
  }

  /**
   * Locks a callback that this process still owns.
   *
   * @returns False when another process has claimed it since.
   */
  async lock(trx: Transaction<Tables>, id: string): Promise<boolean> {
    const row = await trx
      .selectFrom('amo_inbox')
      .select('id')
      .where('id', '=', id)
      .where('owner', '=', this.#with.worker.owner)
      .where('finishedAt', 'is', null)
      .forUpdate()
      .executeTakeFirst()
    return row !== undefined
  }

  /** Releases a callback for a later attempt: its code is proved unspent, or its pair is stored. */
  async release(id: string): Promise<void> {
    await sql`
      update amo_inbox
      set "presentedAt" = case when pair is not null then "presentedAt" end, owner = null, "leaseUntil" = null,
        "nextAttemptAt" = clock_timestamp() + ${RETRY_SECONDS} * interval '1 second'
      where id = ${id} and owner = ${this.#with.worker.owner} and "finishedAt" is null
    `.execute(this.#with.database.db)
  }

  /**
   * Records how a callback ended and deletes its code. The pair is deleted when it is stored with
   * its account. A pair that was not accepted stays here, sealed: no pair that arrived is thrown
   * away. The caller of a transaction calls `onEnd` after its commit.
   */
  async finish(
    id: string,
    outcome: OnboardingOutcome,
    account?: { accountId: number; domain: string },
    trx?: Transaction<Tables>,
  ): Promise<void> {
    const { numUpdatedRows } = await (trx ?? this.#with.database.db)
      .updateTable('amo_inbox')
      .set({
        outcome,
        finishedAt: sql<Date>`clock_timestamp()`,
        secret: null,
        ...(account === undefined ? {} : { ...account, pair: null }),
      })
      .where('id', '=', id)
      .where('owner', '=', this.#with.worker.owner)
      .where('finishedAt', 'is', null)
      .executeTakeFirst()
    if (trx === undefined && numUpdatedRows > 0n) this.onEnd(outcome)
  }

  /** Counts an onboarding that has ended. */
  onEnd(outcome: OnboardingOutcome): void {
    this.#with.onEnd(outcome)
  }

  /**
   * Finishes codes that have expired (20 minutes; docs/provider.md, part 2), exchanges that were
   * interrupted after the code was sent, and pairs that were not confirmed for an hour.
   */
  async finishExpired(): Promise<void> {
    const { rows } = await sql<{ outcome: OnboardingOutcome }>`
      update amo_inbox set "finishedAt" = clock_timestamp(), secret = null,
        outcome = case when pair is not null then 'domain_unconfirmed'
          when "presentedAt" is null then 'code_expired' else 'interrupted' end
      where kind = 'callback' and "finishedAt" is null and ${belongsTo(this.#with.worker.deploymentId)} and case
        when pair is not null then "pairSentAt" < clock_timestamp() - interval '1 hour'
          and (owner is null or "leaseUntil" < clock_timestamp())
        when "presentedAt" is null then "receivedAt" < clock_timestamp() - interval '20 minutes'
        else "leaseUntil" < clock_timestamp() end
      returning outcome
    `.execute(this.#with.database.db)
    for (const { outcome } of rows) this.onEnd(outcome)
  }

  /** Finds callbacks that no process works on: their process died, or they were released. */
  async findWaiting(): Promise<string[]> {
    const { rows } = await sql<{ id: string }>`
      select id from amo_inbox
      where kind = 'callback' and "finishedAt" is null and "nextAttemptAt" <= now()
        and (pair is not null or ("presentedAt" is null and origin <> 'install'))
        and (owner is null or "leaseUntil" < clock_timestamp())
        and "receivedAt" < clock_timestamp() - interval '2 seconds'
        and ${belongsTo(this.#with.worker.deploymentId)}
      order by "nextAttemptAt" limit ${BATCH}
    `.execute(this.#with.database.db)
    return rows.map(({ id }) => id)
  }
}
