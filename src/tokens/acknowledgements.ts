import { randomUUID } from 'node:crypto'
import { type Kysely, sql, type Transaction } from 'kysely'
import type { Database } from '../db/database.ts'
import type { Tables } from '../db/tables.ts'
import { withTimeout } from '../lib/with-timeout.ts'

/** For clocks that run differently, and for a beat that is on its way. */
const MARGIN_MS = 500

interface AcknowledgementDependencies {
  database: Database
  /** The id of this process start, as in `amo_replicas`. */
  owner: string
  heartbeatMs: number
}

/** A change that replicas acknowledge. */
interface Announced {
  heardBy: Set<string>
  /** Undefined: not known yet. */
  members: string[] | undefined
  allHeard: PromiseWithResolvers<true>
}

/** Announces changes to all replicas and waits until none serves what was before. */
export class Acknowledgements {
  readonly #with: AcknowledgementDependencies
  readonly #announced = new Map<string, Announced>()

  constructor(dependencies: AcknowledgementDependencies) {
    this.#with = dependencies
  }

  /**
   * Makes a change in a transaction, and waits until every replica has acknowledged it. If one is
   * silent, waits HEARTBEAT_MS: after that none trusts its cache without having heard the change.
   *
   * @returns false when the full time was waited
   */
  async announce(change: (trx: Transaction<Tables>) => Promise<void>): Promise<boolean> {
    const { database, heartbeatMs } = this.#with
    const id = randomUUID()
    const announced: Announced = {
      heardBy: new Set(),
      members: undefined,
      allHeard: Promise.withResolvers<true>(),
    }
    this.#announced.set(id, announced)
    try {
      await database.db.transaction().execute(async (trx) => {
        await change(trx)
        // Notifications of a transaction arrive in their order, so those of the change are first.
        await sql`select pg_notify('amo_announced', ${id})`.execute(trx)
      })
      const waiting = withTimeout(announced.allHeard.promise, heartbeatMs, false)
      void this.#findMembers(announced)
      return await waiting
    } finally {
      this.#announced.delete(id)
    }
  }

  /** Handles the notification of a change: this process no longer serves what was before. */
  readonly onAnnounced = (id: string): void => {
    const { database, owner } = this.#with
    sql`select pg_notify('amo_acknowledged', ${`${id} ${owner}`})`
      .execute(database.db)
      // Whoever announced it waits the full time.
      .catch(() => {})
  }

  readonly onAcknowledged = (payload: string): void => {
    const [id = '', owner = ''] = payload.split(' ')
    const announced = this.#announced.get(id)
    announced?.heardBy.add(owner)
    if (announced !== undefined) settle(announced)
  }

  /**
   * Finds the replicas that may serve from their cache. It looks after the commit: one that begins
   * to beat later hears of the change before its first cached answer.
   */
  async #findMembers(announced: Announced): Promise<void> {
    const { database, heartbeatMs } = this.#with
    const withinMs = heartbeatMs + MARGIN_MS
    // After a time without writes, the rows are older than what their replicas have heard.
    if (database.storage.steadyMs() < withinMs) return
    announced.members = await findOwners(database.db, withinMs).catch(() => undefined)
    settle(announced)
  }
}

function settle({ members, heardBy, allHeard }: Announced): void {
  if (members?.every((owner) => heardBy.has(owner))) allHeard.resolve(true)
}

async function findOwners(db: Kysely<Tables>, withinMs: number): Promise<string[]> {
  const { rows } = await sql<{ owner: string }>`
    select owner from amo_replicas
    where "beatAt" > clock_timestamp() - ${withinMs} * interval '1 millisecond'
  `.execute(db)
  return rows.map(({ owner }) => owner)
}
