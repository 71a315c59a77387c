import type { AuditRow } from './store.ts'

/**
 * A row may be sealed this long after later ones, because its transaction was still open. The
 * server ends a transaction of the broker after seconds.
 */
const LATE_MS = 60_000
/** The number of ids that other transactions may take meanwhile: two full windows of counts. */
const LATE_IDS = 20_000

type Placed = Pick<AuditRow, 'id' | 'at'>

/**
 * Checks that the ids and times of rows rise along the chain, besides rows whose transactions
 * overlap. A row that was written with an earlier time or into a gap of ids does not fit.
 */
export class RowOrder {
  #newestMs = Number.NEGATIVE_INFINITY
  #newestId = 0

  /** @returns what is wrong with the place of the next row */
  check({ id, at }: Placed): string[] {
    const [atMs, number] = [Date.parse(at), Number(id)]
    const problems: string[] = []
    if (atMs < this.#newestMs - LATE_MS)
      problems.push('has an earlier time than the rows before it')
    if (number < this.#newestId - LATE_IDS) {
      problems.push('has a smaller id than the rows before it')
    }
    this.#newestMs = Math.max(this.#newestMs, atMs)
    this.#newestId = Math.max(this.#newestId, number)
    return problems
  }
}
