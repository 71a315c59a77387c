import pg from 'pg'
import { codeOf, failureOf, markConnectFailure, WrongServer } from './failures.ts'
import type { ServerIdentity, Storage } from './storage-state.ts'

/**
 * The server gives up a little earlier than the client, so that an abandoned statement cannot wait
 * for a lock and be granted it later.
 */
const STATEMENT_TIMEOUT_MS = 4_000
/**
 * Milliseconds pass between two statements of a transaction. A process that is frozen or cut off
 * there would keep its account's row locked. The server ends its session instead, and another
 * replica commits the stored response.
 */
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 4_000

/**
 * What the broker's statements rely on, whatever the server, the database or the role has as its
 * default. The schema is chosen by search_path; an empty one would hide every table. JIT is
 * off, because compiling one of these statements takes longer than running it.
 */
const RELIED_ON = `
  set jit = off;
  set datestyle = 'ISO, MDY'; set timezone = 'UTC'; set intervalstyle = 'postgres';
  set standard_conforming_strings = on; set bytea_output = 'hex'; set extra_float_digits = 1;
  set default_transaction_isolation = 'read committed'; set transform_null_equals = off;
  select set_config('search_path', case when current_schema() is null
    then '"$user", public' else current_setting('search_path') end, false);`

/** Last of the first statements: shows whether a pooler is in between. */
const BACKEND = 'select pg_backend_pid() as pid;'

const TIME_LIMITS = `set statement_timeout = ${STATEMENT_TIMEOUT_MS};
  set idle_in_transaction_session_timeout = ${IDLE_IN_TRANSACTION_TIMEOUT_MS};`

/** The columns of a `ServerIdentity`. pg_walfile_name knows a promotion before its checkpoint. */
export const IDENTITY = `pg_is_in_recovery() as "isInRecovery",
  case when pg_is_in_recovery() then (select timeline_id from pg_control_checkpoint())
    else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int end as timeline,
  (select system_identifier::text from pg_control_system()) as "systemId"`

/** What is left where the role may not call these functions, or the server does not have them. */
export const LESS_IDENTITY = `pg_is_in_recovery() as "isInRecovery",
  null::int as timeline, null::text as "systemId"`

/** Errors of a role or a server that cannot show its identity. */
export const CANNOT_IDENTIFY = /^(42|0A|22|55)/

/**
 * A client that is never used again after a failure that shows a wrong or broken server. A
 * connection that breaks while in use fails its query; the error event has a listener, because
 * without one it would end the process.
 */
export class BoundedClient extends pg.Client {
  /** The pool closes it when it is released: it led to a server that accepts no writes. */
  isSpent = false
  /**
   * No pooler is in between, so that a prepared statement is found again. At the start of a session
   * a pooler does not know its backend yet, so it invents the process id.
   */
  isDirect = false

  constructor(config?: pg.ClientConfig) {
    super(config)
    this.on('error', () => {})
  }

  override query = ((...args: Parameters<pg.Client['query']>) => {
    const [config] = args as unknown[]
    if (!this.isDirect && isNamed(config)) config.name = undefined
    const result: unknown = super.query(...args)
    if (result instanceof Promise) result.catch((error: Error) => this.#endIfBroken(error))
    return result
  }) as pg.Client['query']

  override connect = ((callback?: (error?: Error) => void) => {
    if (callback === undefined) {
      return super.connect().catch((error: Error) => {
        markConnectFailure(error)
        throw error
      })
    }
    return super.connect((error?: Error) => {
      markConnectFailure(error)
      callback(error)
    })
  }) as pg.Client['connect']

  #endIfBroken(error: Error): void {
    const failure = failureOf(error)
    // A transaction still has to be rolled back on it, so that its own error is the one thrown.
    if (failure === 'read_only') this.isSpent = true
    if (failure === 'unreachable') this.end().catch(() => {})
  }
}

function isNamed(config: unknown): config is { name: string | undefined } {
  return typeof config === 'object' && config !== null && 'name' in config
}

/** Prepares sessions before their first use, and refuses those that lead to the wrong server. */
export class SessionSetup {
  readonly #storage: Storage
  #identity = IDENTITY

  constructor(storage: Storage) {
    this.#storage = storage
  }

  /** Sets what the code relies on, by a statement: a pooler may refuse startup parameters. */
  async prepare(client: pg.ClientBase, hasTimeLimits: boolean): Promise<void> {
    await this.#connecting(async () => {
      const limits = hasTimeLimits ? TIME_LIMITS : ''
      const results: unknown = await client.query(RELIED_ON + limits + BACKEND)
      const { rows } = (results as pg.QueryResult<{ pid: number }>[]).at(-1) ?? { rows: [] }
      // From the protocol's BackendKeyData. The driver's types leave it out.
      const { processID } = client as pg.ClientBase & { processID?: number }
      if (client instanceof BoundedClient) client.isDirect = rows[0]?.pid === processID
    })
  }

  /** Throws `WrongServer` when the session leads to a standby or to a primary of the past. */
  async check(client: pg.ClientBase): Promise<void> {
    await this.#connecting(async () => {
      const identity = await this.#identify(client)
      if (identity === undefined) return
      if (this.#storage.isWrong(identity)) throw new WrongServer('not the present primary')
      if (!identity.isInRecovery) this.#storage.meet(identity)
    })
  }

  async #identify(client: pg.ClientBase): Promise<ServerIdentity | undefined> {
    try {
      const { rows } = await client.query<ServerIdentity>(`select ${this.#identity}`)
      return rows[0]
    } catch (error) {
      if (!CANNOT_IDENTIFY.test(codeOf(error)) || this.#identity === LESS_IDENTITY) throw error
      this.#identity = LESS_IDENTITY
      return this.#identify(client)
    }
  }

  async #connecting(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      markConnectFailure(error)
      throw error
    }
  }
}
