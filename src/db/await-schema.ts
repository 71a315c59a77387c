import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Database } from './database.ts'
import { codeOf, isLoginRefused, isStorageFailure, remedyOf } from './failures.ts'
import { findSchemaState, migrateToLatest, SchemaUnusable } from './migrate.ts'

const RETRY_MS = 1_000

interface SchemaWait {
  /** Embedded storage is migrated here. A PostgreSQL server is migrated by `amo-broker migrate`. */
  isEmbedded: boolean
  /** How long a refused login or a missing database is waited for. */
  startLimitMs: number
  signal: AbortSignal
  onUnmigrated: () => void
}

/** PostgreSQL refuses the login or lacks the database, and nobody has changed that in time. */
class StartRefused extends Error {
  override readonly name = 'StartRefused'
}

/**
 * Resolves when the database is migrated, or when `signal` is aborted. Waits for a PostgreSQL that
 * is down or not migrated for as long as it takes. Logs the cause whenever it changes. Throws
 * `SchemaUnusable`, `StartRefused`, and any failure of embedded storage.
 */
export async function awaitSchema(
  database: Database,
  { isEmbedded, startLimitMs, signal, onUnmigrated }: SchemaWait,
  log: Logger,
): Promise<void> {
  const refusal = new Refusal(startLimitMs)
  const report = reportChanges(log)
  while (!signal.aborted) {
    try {
      if (isEmbedded) await database.withDirect(migrateToLatest)
      const { pending, isNewer } = await findSchemaState(database.db)
      refusal.end()
      if (isNewer) log.info('the schema is newer than this version, which can run on it')
      if (pending.length === 0) return
      onUnmigrated()
      report({ pending }, 'database is not migrated: run amo-broker migrate')
    } catch (error) {
      if (isEmbedded || error instanceof SchemaUnusable) throw error
      const cause = { code: codeOf(error), remedy: remedyOf(error) }
      if (isLoginRefused(error)) {
        report(cause, 'PostgreSQL refuses the connection')
        refusal.check(error)
      } else {
        refusal.end()
        report(cause, 'PostgreSQL does not answer yet')
      }
    }
    await delay(RETRY_MS, undefined, { signal }).catch(() => {})
  }
}

/**
 * Runs a step of the start until the storage allows it, or `signal` is aborted. Throws every error
 * that is not about the storage.
 */
export async function untilStorageAllows(
  step: () => Promise<void>,
  signal: AbortSignal,
  log: Logger,
): Promise<void> {
  const report = reportChanges(log)
  while (!signal.aborted) {
    try {
      return await step()
    } catch (error) {
      if (!isStorageFailure(error)) throw error
      report({ code: codeOf(error), remedy: remedyOf(error) }, 'the start waits for the storage')
    }
    await delay(RETRY_MS, undefined, { signal }).catch(() => {})
  }
}

/** Measures for how long the login is refused without a break. */
class Refusal {
  readonly #limitMs: number
  #sinceMs: number | undefined

  constructor(limitMs: number) {
    this.#limitMs = limitMs
  }

  check(cause: unknown): void {
    this.#sinceMs ??= performance.now()
    if (performance.now() - this.#sinceMs < this.#limitMs) return
    throw new StartRefused(
      `PostgreSQL refuses the connection (${codeOf(cause)}): ${remedyOf(cause)}`,
    )
  }

  end(): void {
    this.#sinceMs = undefined
  }
}

/** Returns a function that logs a warning unless it is the same as the last one. */
function reportChanges(log: Logger): (fields: object, message: string) => void {
  let last = ''
  return (fields, message) => {
    const text = JSON.stringify([fields, message])
    if (text !== last) log.warn(fields, message)
    last = text
  }
}
