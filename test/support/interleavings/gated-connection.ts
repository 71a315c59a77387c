import type { CompiledQuery, DatabaseConnection, QueryResult } from 'kysely'
import type pg from 'pg'
import type { Actor, Ending, Move } from './actor.ts'
import type { Watch } from './gated-database.ts'
import type { Lane } from './lane.ts'

/** Matches the statements that wait for the schedule. The others run at once. */
const DECISIVE = /amo_(tokens|refresh_attempts)/
const PRUNES = /^\s*delete from amo_refresh_attempts/
const CHANGES = /insert|update|delete/

/**
 * A database connection of one actor. Each statement that touches accounts or attempts, and each
 * commit, waits for the schedule. It may fail before it is carried out, or be carried out without
 * an acknowledgement. Then the connection is broken. The acknowledgement of a commit may also
 * arrive later, even after the server was replaced.
 */
export class GatedConnection implements DatabaseConnection {
  readonly #real: pg.PoolClient
  readonly #actor: Actor
  readonly #lane: Lane
  readonly #watch: Watch
  #inTransaction = false
  #hasChanged = false
  #isBroken = false
  #isReleased = false
  #running: Promise<unknown> = Promise.resolve()

  constructor(real: pg.PoolClient, actor: Actor, lane: Lane, watch: Watch) {
    this.#real = real
    this.#actor = actor
    this.#lane = lane
    this.#watch = watch
  }

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    if (sql === 'rollback' && this.#isBroken) return { rows: [] }
    if (this.#isBroken) throw new Error('connection lost')
    if (sql === 'begin') this.#inTransaction = true
    if (sql === 'rollback') this.#inTransaction = false
    const isDecisive = sql === 'commit' ? this.#hasChanged : DECISIVE.test(sql) && !PRUNES.test(sql)
    if (!isDecisive) {
      if (sql === 'commit') this.#inTransaction = false
      const { rows } = await this.#lane.during(this.#real.query(sql, [...parameters]))
      return { rows }
    }
    return this.#actor.stand(labelOf(sql), (ending) => this.#movesOf<R>(sql, parameters, ending))
  }

  async *streamQuery(): AsyncIterableIterator<never> {
    yield* []
  }

  #movesOf<R>(text: string, values: readonly unknown[], ending: Ending<QueryResult<R>>): Move[] {
    const lose = () => {
      this.break()
      ending.reject(new Error('connection lost'))
    }
    const execute = async (isAcknowledged: boolean) => {
      if (this.#isBroken) return lose()
      try {
        const result = await this.#execute<R>(text, values)
        return isAcknowledged ? ending.resolve(result) : lose()
      } catch (error) {
        return ending.reject(error instanceof Error ? error : new Error('failed'))
      }
    }
    const acknowledgeLate = async () => {
      if (this.#isBroken) return lose()
      const result = await this.#execute<R>(text, values)
      const late = this.#actor.stand<void>('acknowledgement', ({ resolve }) => [
        { name: 'arrives', weight: 10, make: () => resolve() },
      ])
      await late
      ending.resolve(result)
    }
    const moves: Move[] = [
      { name: 'done', weight: 20, make: () => void execute(true) },
      { name: 'failed', weight: 1, fault: 'database', make: lose },
      { name: 'unacknowledged', weight: 1, fault: 'database', make: () => void execute(false) },
    ]
    if (text !== 'commit') return moves
    const make = () => void acknowledgeLate().catch(lose)
    return [...moves, { name: 'acknowledged late', weight: 1, fault: 'database', make }]
  }

  async #execute<R>(text: string, values: readonly unknown[]): Promise<QueryResult<R>> {
    const isCommit = text === 'commit'
    if (isCommit) await this.#lane.during(this.#watch.beforeCommit())
    const work = this.#real.query(text, [...values])
    this.#running = work.catch(() => {})
    const { rows, rowCount } = await this.#lane.during(work, this.#real)
    if (CHANGES.test(text)) this.#hasChanged = true
    if (isCommit) this.#inTransaction = false
    if (!this.#inTransaction && this.#hasChanged) {
      this.#hasChanged = false
      await this.#lane.during(this.#watch.afterChange(text, rows))
    }
    return { rows, numAffectedRows: BigInt(rowCount ?? 0) }
  }

  /** Rolls back and closes the connection. The server completes a statement that it has started. */
  break(): void {
    if (this.#isBroken || this.#isReleased) return
    this.#isBroken = true
    const end = async () => {
      await this.#running
      if (this.#inTransaction) await this.#real.query('rollback')
      this.#real.release()
    }
    this.#lane.during(end(), this.#real).catch(() => {})
  }

  release(): void {
    this.#isReleased = true
    if (!this.#isBroken) this.#real.release()
  }
}

/** Names the statements of the engine by their purpose, for the readers of a schedule. */
const LABELS: [RegExp, string][] = [
  [/^with due/, 'claim'],
  [/^with target/, 'claim for a probe'],
  [/set "sentAt"/, 'record send'],
  [/^with expired/, 'reclaim'],
  [/"isServed"/, 'require reauth'],
  [/^with locked/, 'update claimed'],
  [/^update amo_tokens set generation/, 'put pair into row'],
  [/outcome = 'committed'/, 'finish attempt'],
  [/set "parkedPair" = \$/, 'park'],
  [/^select a?.?id.*"parkedPair"/, 'look for parked pairs'],
  [/outcome = 'superseded', steps .* where a."finishedAt"/, 'finish superseded'],
  [/outcome = 'not_sent', steps .* where "finishedAt"/, 'finish unsent'],
  [/outcome = 'not_sent', steps .* where id/, 'release unsent'],
  [/outcome = 'not_sent', steps .* where owner/, 'release unknown'],
  [/as "isSendable"/, 'find claim rejection'],
  [/"nextAttemptAt" <= .* order by "nextAttemptAt" limit/, 'find rechecks'],
]

function labelOf(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim()
  return LABELS.find(([pattern]) => pattern.test(line))?.[1] ?? line.slice(0, 60)
}
