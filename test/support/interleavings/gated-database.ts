import {
  CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
} from 'kysely'
import type { Actor } from './actor.ts'
import { GatedConnection } from './gated-connection.ts'
import type { Lane } from './lane.ts'

/** Observers of the engine's statements. */
export interface Watch {
  /** Called before a transaction with changes is committed. */
  beforeCommit(): Promise<void>
  /** Called after a commit. `rows` is the result of the statement. */
  afterChange(text: string, rows: Record<string, unknown>[]): Promise<void>
}

/**
 * PostgreSQL as one actor sees it: Kysely's own dialect on connections that the schedule controls.
 */
export class GatedDatabase implements Dialect, Driver {
  readonly #actor: Actor
  readonly #lane: Lane
  readonly #watch: Watch
  readonly #connections = new Set<GatedConnection>()

  constructor(actor: Actor, lane: Lane, watch: Watch) {
    this.#actor = actor
    this.#lane = lane
    this.#watch = watch
    actor.atDeath(() => this.breakAll())
  }

  createDriver = (): Driver => this
  createAdapter = () => new PostgresAdapter()
  createQueryCompiler = () => new PostgresQueryCompiler()
  createIntrospector = (db: Kysely<unknown>) => new PostgresIntrospector(db)

  async init(): Promise<void> {}
  async destroy(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    const real = await this.#lane.during(this.#lane.pool.connect())
    if (this.#actor.isDead) {
      real.release()
      return NEVER
    }
    const connection = new GatedConnection(real, this.#actor, this.#lane, this.#watch)
    this.#connections.add(connection)
    return connection
  }

  async releaseConnection(released: DatabaseConnection): Promise<void> {
    for (const connection of this.#connections) {
      if (connection !== released) continue
      this.#connections.delete(connection)
      connection.release()
    }
  }

  beginTransaction = (connection: DatabaseConnection) => run(connection, 'begin')
  commitTransaction = (connection: DatabaseConnection) => run(connection, 'commit')
  rollbackTransaction = (connection: DatabaseConnection) => run(connection, 'rollback')

  /**
   * Drops the connections, because the server or the actor is gone. Uncommitted work never
   * happened.
   */
  breakAll(): void {
    for (const connection of this.#connections) connection.break()
  }
}

const NEVER = new Promise<never>(() => {})

async function run(connection: DatabaseConnection, text: string): Promise<void> {
  await connection.executeQuery(CompiledQuery.raw(text))
}
