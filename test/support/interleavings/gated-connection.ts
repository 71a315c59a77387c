import type { CompiledQuery, DatabaseConnection, QueryResult } from 'kysely'
import type pg from 'pg'
import type { Actor, Ending, Move } from './actor.ts'
import type { Watch } from './gated-database.ts'
import type { Lane } from './lane.ts'

/** Statements that decide something. The others are carried out at once. */
const DECISIVE = /amo_(tokens|refresh_attempts)/
const PRUNES = /^\s*delete from amo_refresh_attempts/
const CHANGES = /insert|update|delete/

/**
 * A connection of one actor. Each statement that touches accounts or attempts, and each commit, waits for the schedule;
 * it may fail before it is carried out, or be carried out and never acknowledged. Then the connection is broken.
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
    return [
      { name: 'done', weight: 20, make: () => void execute(true) },
      { name: 'failed', weight: 1, fault: 'database', make: lose },
      { name: 'unacknowledged', weight: 1, fault: 'database', make: () => void execute(false) },
    ]
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

  /** Rolled back, and used no more. What the server has begun it carries out. */
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

/** The statements of the engine by what they are for, as a reader of a schedule wants them. */
const LABELS: [RegExp, string][] = [
  [/^with due/, 'claim'],
  [/^with target/, 'claim for a verdict'],
  [/set "sentAt"/, 'record send'],
  [/^with expired/, 'take over'],
  [/"isServed"/, 'condemn'],
  [/^with locked/, 'end'],
  [/^update amo_tokens set generation/, 'put pair into row'],
  [/outcome = 'committed'/, 'finish attempt'],
  [/set "parkedPair" = \$/, 'park'],
  [/^select a?.?id.*"parkedPair"/, 'look for parked pairs'],
  [/outcome = 'superseded' where a."finishedAt"/, 'finish what has moved on'],
  [/outcome = 'not_sent' where "finishedAt"/, 'finish what was not sent'],
  [/outcome = 'not_sent' where id/, 'give back'],
  [/as "isSendable"/, 'ask why not'],
  [/"nextAttemptAt" <= .* order by "nextAttemptAt" limit/, 'look for condemned accounts'],
]

function labelOf(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim()
  return LABELS.find(([pattern]) => pattern.test(line))?.[1] ?? line.slice(0, 60)
}
