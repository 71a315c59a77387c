import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import { Registry } from '@prometheus-io/client'
import { Redis } from 'ioredis'
import pg from 'pg'
import { pino } from 'pino'
import type { Test } from 'tap'
import type { Config } from '../../../src/config/load-config.ts'
import type { Database } from '../../../src/db/database.ts'
import { openPostgres } from '../../../src/db/postgres.ts'
import { Integrations } from '../../../src/integrations/directory.ts'
import type { CommitContext } from '../../../src/pairs/commit-context.ts'
import { createRefreshCounters, type RefreshCounters } from '../../../src/refresh/counters.ts'
import { secretAt, tokenAt } from '../../../src/vault/sealed-places.ts'
import { Secret } from '../../../src/vault/secret.ts'
import { query } from '../database.ts'
import { createLedger, KEY, LEDGER_INTEGRATION } from '../engine.ts'
import { VIRTUAL_CLOCK, type VirtualTime } from './virtual-time.ts'

/** A statement may take this long before it is checked for a lock. */
const LOOK_AFTER_MS = 4

export interface AccountRow {
  generation: number
  fingerprint: string
  status: string
  nextAttemptAtMs: number | null
  isClaimed: boolean
}

/**
 * A database on which schedules are played one after the other, and the clock of the current one.
 */
export interface Lane {
  pool: pg.Pool
  control: pg.Pool
  time: VirtualTime
  config: Config
  fingerprints: CommitContext['fingerprints']
  database: Database
  integrations: Integrations
  counters: RefreshCounters
  /** Never connected. A model replaces it. */
  redis: Redis
  /** Tracks a statement. `client` may wait for a lock of another one. */
  during<T>(work: Promise<T>, client?: pg.PoolClient): Promise<T>
  /** Resolves when nothing can happen without a move of the schedule. */
  quiet(): Promise<void>
  row(): Promise<AccountRow | undefined>
  /** Resets the tables to one due account with this refresh token. */
  reset(refreshToken: string, accessToken: string): Promise<void>
}

/** Start of every schedule's clock. */
const START_MS = 1_000_000
/** State of an idle session with an open transaction. */
const IDLE = 'idle in transaction'
/**
 * All other waits take milliseconds, so a longer one is a deadlock of the engine or of this model.
 */
const STUCK_MS = 20_000

interface Work {
  done: Promise<unknown>
  pid: number | undefined
  isBlocked: boolean
}

export async function openLane(t: Test): Promise<Lane> {
  const ledger = await createLedger(t)
  const { databaseUrl, config } = ledger
  const { keyRing } = config
  const name = new URL(databaseUrl).pathname.slice(1)
  await query(databaseUrl, VIRTUAL_CLOCK)
  await query(databaseUrl, `alter database ${name} set search_path = virtual, pg_catalog, public`)
  // Nothing must survive a crash of the server, which makes the schedules faster.
  // A table that refers to another one comes before it.
  for (const table of ['amo_refresh_attempts', 'amo_account_labels', 'amo_tokens'])
    await query(databaseUrl, `alter table ${table} set unlogged`)
  await query(
    databaseUrl,
    `update amo_integrations set "pacePerSecond" = 1000, "clientSecret" = $1`,
    [keyRing.seal('secret', secretAt(LEDGER_INTEGRATION, 'clientSecret'))],
  )
  const pool = openPool(t, databaseUrl, 40)
  const control = openPool(t, databaseUrl, 2)
  const url = new Secret(databaseUrl)
  const log = pino({ level: 'silent' })
  const database = openPostgres(url, url, log)
  t.teardown(() => database.close())
  const integrations = new Integrations(database, keyRing, log)
  await integrations.reload()
  const redis = new Redis({ lazyConnect: true })
  t.teardown(() => redis.disconnect())

  const works = new Set<Work>()
  const time: VirtualTime = {
    nowMs: START_MS,
    originMs: Date.now() - START_MS,
    async pass(ms) {
      time.nowMs += ms
      await control.query(`update virtual.clock set at = at + $1 * interval '1 millisecond'`, [ms])
    },
  }
  /**
   * Marks the statements that wait, directly or behind another one, for a transaction that the
   * schedule has stopped.
   */
  const markBlocked = async () => {
    const { rows } = await control.query<{ pid: number; state: string; blockers: number[] }>(
      `select pid, state, pg_blocking_pids(pid) as blockers from pg_stat_activity
       where datname = current_database()`,
    )
    // A session that has just got a statement is not blocked, it has only not started.
    const asked = new Set([...works].map(({ pid }) => pid))
    const held = new Set(
      rows.filter(({ pid, state }) => state === IDLE && !asked.has(pid)).map(({ pid }) => pid),
    )
    const isBehind = ({ blockers }: { blockers: number[] }) => blockers.some((pid) => held.has(pid))
    for (let size = 0; size !== held.size; ) {
      size = held.size
      for (const row of rows) if (isBehind(row)) held.add(row.pid)
    }
    const behind = new Set(rows.filter(isBehind).map(({ pid }) => pid))
    for (const work of works) work.isBlocked = work.pid !== undefined && behind.has(work.pid)
  }
  const describe = async (stuck: Work[]) => {
    const { rows } = await control.query(
      `select pid, state, pg_blocking_pids(pid) as blockers, left(query, 60) as query
       from pg_stat_activity where datname = current_database() and state <> 'idle'`,
    )
    return JSON.stringify({ stuck: stuck.map(({ pid }) => pid ?? null), sessions: rows })
  }
  return {
    pool,
    control,
    time,
    config,
    fingerprints: ledger.commitContext.fingerprints,
    database,
    integrations,
    counters: createRefreshCounters(new Registry()),
    redis,
    during(done, client) {
      const pid = client && 'processID' in client ? Number(client.processID) : undefined
      const work: Work = { done, pid, isBlocked: false }
      works.add(work)
      const end = () => {
        works.delete(work)
        // Statements that waited for it may continue now.
        for (const each of works) each.isBlocked = false
      }
      done.then(end, end)
      return done
    },
    async quiet() {
      const endMs = Date.now() + STUCK_MS
      for (;;) {
        await turn()
        await turn()
        const going = [...works].filter((work) => !work.isBlocked)
        if (going.length === 0) return
        const late = new AbortController()
        const ends = going.map(({ done }) => done.catch(() => {}))
        const limit = delay(LOOK_AFTER_MS, 'late', late).catch(() => {})
        const first = await Promise.race([...ends, limit])
        late.abort()
        if (first !== 'late') continue
        if (Date.now() > endMs) throw new Error(`stuck: ${await describe(going)}`)
        await markBlocked()
      }
    },
    async row() {
      const { rows } = await control.query(
        `select generation, "refreshTokenFingerprint" as fingerprint, status,
           extract(epoch from "nextAttemptAt" - clock_timestamp()) * 1000 + $2::float8 as "nextAttemptAtMs",
           exists (select from amo_refresh_attempts where "finishedAt" is null) as "isClaimed"
         from amo_tokens where "accountId" = $1`,
        [KEY.accountId, time.nowMs],
      )
      const [row] = rows
      return row && { ...row, nextAttemptAtMs: row.nextAttemptAtMs && Number(row.nextAttemptAtMs) }
    },
    async reset(refreshToken, accessToken) {
      time.nowMs = START_MS
      await control.query('update virtual.clock set at = $1', [new Date(time.originMs + START_MS)])
      await control.query('delete from amo_breakers')
      await control.query(
        `update amo_integrations set "paceTokens" = 4, "paceAt" = now(), state = 'running', "condemnedAt" = '{}'`,
      )
      await control.query('delete from amo_refresh_attempts')
      await control.query('delete from amo_tokens')
      await control.query('delete from amo_audit')
      const { rows } = await control.query(`select nextval('amo_generation') as generation`)
      const at = { ...KEY, generation: rows[0].generation }
      await control.query(
        `insert into amo_tokens (integration, "accountId", domain, "apiDomain", status, "approvedAt",
           "accessToken", "refreshToken", "refreshTokenFingerprint", generation, "issuedAt", "expiresAt",
           "refreshAt", "nextAttemptAt", "refreshTokenExpiresAt")
         select $1, $2, 'a.amocrm.ru', 'api.amocrm.ru', 'active', at, $3, $4, $5, $6, $7,
           at + interval '150 seconds', at, at, at + interval '90 days' from virtual.clock`,
        [
          KEY.integration,
          KEY.accountId,
          keyRing.seal(accessToken, tokenAt(at, 'accessToken')),
          keyRing.seal(refreshToken, tokenAt(at, 'refreshToken')),
          ledger.commitContext.fingerprints.of(refreshToken),
          at.generation,
          new Date(time.originMs),
        ],
      )
    },
  }
}

function openPool(t: Test, databaseUrl: string, max: number): pg.Pool {
  const pool = new pg.Pool({
    connectionString: databaseUrl,
    // The audit tells the broker's sessions from others by it.
    application_name: 'amo-token-broker interleavings',
    max,
    idleTimeoutMillis: 0,
    types: {
      getTypeParser: (oid, format) =>
        oid === pg.types.builtins.INT8 && format !== 'binary'
          ? Number
          : pg.types.getTypeParser(oid, format),
    },
  })
  pool.on('error', () => {})
  t.teardown(() => pool.end())
  return pool
}
