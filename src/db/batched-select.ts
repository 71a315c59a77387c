import type { Select, Statement } from './select.ts'

/** One connection for reads stays free for single rows and for the clients. */
const MAX_RUNNING = 2
const MAX_VALUES = 100

interface Wanted<Value, Row> {
  value: Value
  resolve(rows: Row[]): void
  reject(error: unknown): void
}

/**
 * Selects rows by one value each. While MAX_RUNNING selects are running, further values wait and
 * are selected together: a miss alone waits for nothing, and a thousand of them need a few selects.
 */
export class BatchedSelect<Value extends string | number, Row extends object> {
  readonly #select: Select
  readonly #statement: Statement
  readonly #keyOf: (row: Row) => Value | null
  #running = 0
  #waiting: Wanted<Value, Row>[] = []

  /** The statement has one parameter, the array of values. `keyOf` returns a row's own value. */
  constructor(select: Select, statement: Statement, keyOf: (row: Row) => Value | null) {
    this.#select = select
    this.#statement = statement
    this.#keyOf = keyOf
  }

  /** Returns the rows of a value. The select begins after this call. */
  find(value: Value): Promise<Row[]> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ value, resolve, reject })
      this.#next()
    })
  }

  #next(): void {
    if (this.#running >= MAX_RUNNING || this.#waiting.length === 0) return
    const batch = this.#waiting.splice(0, MAX_VALUES)
    this.#running += 1
    const values = batch.map(({ value }) => value)
    this.#select<Row>(this.#statement, [values])
      .then(
        (rows) => this.#answer(batch, rows),
        (error) => {
          for (const { reject } of batch) reject(error)
        },
      )
      .finally(() => {
        this.#running -= 1
        this.#next()
      })
  }

  #answer(batch: Wanted<Value, Row>[], rows: Row[]): void {
    for (const { value, resolve } of batch) {
      resolve(batch.length === 1 ? rows : rows.filter((row) => this.#keyOf(row) === value))
    }
  }
}
