import type pg from 'pg'
import { codeOf } from './failures.ts'

/** A select whose text never changes. */
export interface Statement {
  /** Unique among all statements. */
  name: string
  text: string
}

/** Runs a select outside of a transaction, on the connections for reads. */
export type Select = <Row extends object>(statement: Statement, values: unknown[]) => Promise<Row[]>

/** invalid_sql_statement_name, duplicate_prepared_statement: a session changed hands. */
const OTHER_SESSION = /^(26000|42P05)$/
/** feature_not_supported: "cached plan must not change result type", after a migration. */
const OUTDATED_PLAN = '0A000'

/**
 * Returns a function that runs selects as named prepared statements, which the server parses and
 * plans once for each session. `BoundedClient` drops the name in a session that leads through a
 * pooler. If a statement fails because the session does not have it as it was prepared, it is run
 * again without a name. The pool closes the session of a query that failed.
 */
export function preparedSelects(pool: pg.Pool): Select {
  let isNamed = true
  const run = <Row extends object>(config: pg.QueryConfig) =>
    new Promise<Row[]>((resolve, reject) => {
      // With a callback, because promises of pool and client would be a tenth of a read.
      pool.query<Row>(config, (error, result) => (error ? reject(error) : resolve(result.rows)))
    })
  return async <Row extends object>({ name, text }: Statement, values: unknown[]) => {
    if (!isNamed) return run<Row>({ text, values })
    try {
      return await run<Row>({ name, text, values })
    } catch (error) {
      const code = codeOf(error)
      const isHidden = OTHER_SESSION.test(code)
      if (!isHidden && code !== OUTDATED_PLAN) throw error
      // A pooler that passes the process ids of the server on.
      if (isHidden) isNamed = false
      return run<Row>({ text, values })
    }
  }
}
