import { type Kysely, sql } from 'kysely'
import { codeOf, failureOf } from './failures.ts'
import { CANNOT_IDENTIFY, IDENTITY, LESS_IDENTITY } from './session.ts'
import type { ServerIdentity } from './storage-state.ts'
import type { Tables } from './tables.ts'

/** One heartbeat: proves that the server can be written to, and shows which server it is. */
export interface Beat extends ServerIdentity {
  now: Date
  /** Why it could not be written to; undefined: it could. */
  writeFailure?: unknown
}

/** What a heartbeat writes and sends. */
export interface BeatMessage {
  owner: string
  channel: string
  payload: string
}

/** Sends heartbeats. Remembers whether the role may see the identity of the server. */
export class Beats {
  readonly #db: Kysely<Tables>
  #identity: string

  constructor(db: Kysely<Tables>, hasIdentity: boolean) {
    this.#db = db
    this.#identity = hasIdentity ? IDENTITY : LESS_IDENTITY
  }

  /** Writes, notifies and reads the clock. On a server without writes, reads only. */
  async send(message: BeatMessage): Promise<Beat> {
    try {
      return await this.#once(() => this.#write(message))
    } catch (error) {
      if (failureOf(error) !== 'read_only') throw error
      const beat = await this.#once(() => this.#read())
      if (!beat.isInRecovery) await this.#notify(message)
      return { ...beat, writeFailure: error }
    }
  }

  async #once(send: () => Promise<Beat>): Promise<Beat> {
    try {
      return await send()
    } catch (error) {
      const isDenied = CANNOT_IDENTIFY.test(codeOf(error)) && failureOf(error) === 'statement'
      if (!isDenied || this.#identity === LESS_IDENTITY) throw error
      this.#identity = LESS_IDENTITY
      return send()
    }
  }

  async #write({ owner, channel, payload }: BeatMessage): Promise<Beat> {
    const { rows } = await sql<Beat>`
      with beat as (
        insert into amo_replicas (owner, "beatAt") values (${owner}, clock_timestamp())
        on conflict (owner) do update set "beatAt" = excluded."beatAt" returning 1)
      select clock_timestamp() as now, pg_notify(${channel}, ${payload}), ${sql.raw(this.#identity)}
      from beat
    `.execute(this.#db)
    return firstOf(rows)
  }

  async #read(): Promise<Beat> {
    const { rows } = await sql<Beat>`
      select clock_timestamp() as now, ${sql.raw(this.#identity)}
    `.execute(this.#db)
    return firstOf(rows)
  }

  /** A primary that accepts no writes still passes notifications on. */
  async #notify({ channel, payload }: BeatMessage): Promise<void> {
    await sql`select pg_notify(${channel}, ${payload})`.execute(this.#db).catch(() => {})
  }
}

function firstOf(rows: Beat[]): Beat {
  const [beat] = rows
  if (beat === undefined) throw new Error('the heartbeat returned nothing')
  return beat
}
