import { type Kysely, sql } from 'kysely'
import type { Config } from '../config/load-config.ts'
import { codeOf, remedyOf } from '../db/failures.ts'
import { pendingMigrations } from '../db/migrate.ts'
import { CONNECTIONS_A_REPLICA } from '../db/postgres.ts'
import type { Tables } from '../db/tables.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

type Db = Kysely<Tables>

const OLDEST_SERVER = 140_000
const CLOCK_TRIES = 3
/**
 * PostgreSQL's clock decides. This machine's is used in logs and in the first second of a start.
 */
const CLOCK_WARN_MS = 2_000

/** Examines whether the server answers and can be written to, its version, clock and capacity. */
export async function examineDatabase({ mode }: Config, db: Db): Promise<Finding[]> {
  let server: Server
  try {
    server = await askServer(db)
  } catch (error) {
    const { message } = error as { message?: string }
    return [fail(message || codeOf(error), remedyOf(error))]
  }
  if (mode === 'embedded') return [ok('embedded storage opens')]
  const { version, number, isStandby, isReadOnly, fsync, free } = server
  if (isStandby) {
    return [fail('this is a standby: it accepts no writes', 'Point DATABASE_URL at the primary.')]
  }
  if (isReadOnly) {
    return [
      fail(
        'the server is read-only: tokens are served, and nothing is refreshed or stored',
        'End it: default_transaction_read_only of the server, the database or the role, or a full disk.',
      ),
    ]
  }
  const findings = [
    number < OLDEST_SERVER
      ? fail(`PostgreSQL ${version} is too old`, 'Use PostgreSQL 14 or newer.')
      : ok(`PostgreSQL ${version}`),
    await examineClock(db),
  ]
  if (fsync !== 'on') {
    findings.push(
      fail(
        'fsync is off: a crash of the server loses token pairs',
        'Set fsync = on in postgresql.conf.',
      ),
    )
  }
  if (free < CONNECTIONS_A_REPLICA) {
    findings.push(
      warn(
        `${free} connections are free, a replica uses up to ${CONNECTIONS_A_REPLICA}`,
        'Raise max_connections, or close other connections (see pg_stat_activity).',
      ),
    )
  }
  return findings
}

interface Server {
  version: string
  number: number
  isStandby: boolean
  isReadOnly: boolean
  fsync: string
  free: number
}

async function askServer(db: Db): Promise<Server> {
  const { rows } = await sql<Server>`
    select current_setting('server_version') as version,
      current_setting('server_version_num')::int as number,
      pg_is_in_recovery() as "isStandby",
      current_setting('transaction_read_only') = 'on' as "isReadOnly", current_setting('fsync') as fsync,
      current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int
        - (select count(*)::int from pg_stat_activity where backend_type = 'client backend') as free
  `.execute(db)
  const [server] = rows
  if (server === undefined) throw new Error('the server returned nothing')
  return server
}

/** Compares the clocks. The try with the shortest round trip is the most exact. */
async function examineClock(db: Db): Promise<Finding> {
  let best = { roundTripMs: Number.POSITIVE_INFINITY, offsetMs: 0 }
  for (let tried = 0; tried < CLOCK_TRIES; tried += 1) {
    const sentMs = performance.now()
    const { rows } = await sql<{ now: Date }>`select clock_timestamp() as now`.execute(db)
    const roundTripMs = performance.now() - sentMs
    const offsetMs = (rows[0]?.now.getTime() ?? 0) - (Date.now() - roundTripMs / 2)
    if (roundTripMs < best.roundTripMs) best = { roundTripMs, offsetMs }
  }
  const offset = `${Math.round(best.offsetMs)} ms`
  const text = `its clock is ${offset} ahead of this one, a query takes ${Math.ceil(best.roundTripMs)} ms`
  return Math.abs(best.offsetMs) > CLOCK_WARN_MS
    ? warn(text, 'Set both clocks by NTP: PostgreSQL’s decides when tokens expire.')
    : ok(text)
}

interface Standby {
  name: string
  /** Null if the role may not see it. */
  syncState: string | null
}

/**
 * Examines whether a failover could lose commits. A pair that is lost this way is lost for good.
 */
export async function examineReplication(db: Db): Promise<Finding[]> {
  const { rows } = await sql<Standby>`
    select coalesce(nullif(s.application_name, ''), 'unnamed') as name, s.sync_state as "syncState"
    from pg_stat_replication s left join pg_replication_slots slots on slots.active_pid = s.pid
    where slots.slot_type is distinct from 'logical'
  `.execute(db)
  if (rows.length === 0) return [ok('no standby is connected: there is nothing to fail over to')]
  const names = rows.map(({ name, syncState }) => `${name} (${syncState ?? 'hidden'})`).join(', ')
  if (rows.some(({ syncState }) => syncState === 'sync' || syncState === 'quorum')) {
    return [ok(`a synchronous standby receives every commit: ${names}`)]
  }
  if (rows.every(({ syncState }) => syncState === null)) {
    return [
      warn(
        `this role may not see whether the standbys are synchronous: ${names}`,
        'Grant pg_monitor to this role and run doctor again: a failover to an asynchronous standby loses token pairs.',
      ),
    ]
  }
  return [
    warn(
      `only asynchronous standbys: ${names}. A failover could lose committed token pairs`,
      'Set synchronous_standby_names; until then Redis and DATA_DIR are the only second copies.',
    ),
  ]
}

/** Examines whether the database is migrated and bound to this deployment. */
export async function examineSchema({ mode, deploymentId }: Config, db: Db): Promise<Finding[]> {
  const pending = await pendingMigrations(db)
  if (pending.length > 0) {
    const remedy =
      mode === 'embedded' ? 'Start the broker: it migrates by itself.' : 'Run amo-broker migrate.'
    return [fail(`not migrated: ${pending.join(', ')}`, remedy)]
  }
  const bound = await db.selectFrom('amo_deployment').select('deploymentId').executeTakeFirst()
  if (bound === undefined) return [ok('migrated; the first start binds it to this deployment')]
  if (bound.deploymentId === deploymentId) return [ok(`migrated, and bound to "${deploymentId}"`)]
  return [
    warn(
      `bound to "${bound.deploymentId}": brokers of "${deploymentId}" refresh nothing here`,
      'Correct DEPLOYMENT_ID. If the other deployment has ended for good, run amo-broker adopt.',
    ),
  ]
}
