import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { pino } from 'pino'
import type { Config } from '../../config/load-config.ts'
import { type Database, openDatabase } from '../../db/database.ts'
import { migrateToLatest } from '../../db/migrate.ts'
import { compareAccounts, copyDeployment, countInFlight, type Loss } from '../../escrow/compare.ts'
import type { EscrowPlace } from '../../escrow/place.ts'
import { Secret } from '../../vault/secret.ts'
import { Failure } from '../common/failure.ts'
import { printFields, printJson, printTable, type Table } from '../common/output.ts'
import { restoreInto, toJson } from './restore-escrow.ts'
import { withEscrow } from './with-escrow.ts'

const MAX_SHOWN = 50

interface DrillOptions {
  json?: true | undefined
}

const LOSSES: Table<Loss> = {
  columns: [
    { title: 'ACCOUNT', of: ({ domain }) => domain },
    { title: 'ID', of: ({ accountId }) => accountId },
    { title: 'INTEGRATION', of: ({ integration }) => integration },
    { title: 'WHY', of: ({ why }) => why },
  ],
  empty: 'No account would need a new consent.',
}

/** Restores into a scratch database and compares it with the real one. Throws `Failure`. */
export function drill({ json }: DrillOptions): Promise<void> {
  return withEscrow(async (config, database, place) => {
    const url = process.env.SCRATCH_URL
    const inFlight = await countInFlight(database.db)
    const startedMs = performance.now()
    const { restored, compared } = url
      ? await drillIn(url, config, database, place)
      : await drillBeside(config, database, place)
    const seconds = (performance.now() - startedMs) / 1000
    const { losses, live } = compared
    if (losses.length > 0 || restored.problems.length > 0) process.exitCode = 1
    const result = {
      accounts: live,
      lost: losses.length,
      in_flight: inFlight,
      seconds: Math.round(seconds * 10) / 10,
    }
    if (json) return printJson({ ...result, losses, restore: restored })
    printFields({
      'accounts now': live,
      'would need a new consent': losses.length,
      'refreshed at this moment': inFlight,
      'newest in the escrow': restored.newest_at,
      'the restore took': `${result.seconds} s`,
    })
    for (const problem of restored.problems) console.log(`  ${problem}`)
    printTable(losses.slice(0, MAX_SHOWN), LOSSES)
    if (losses.length > MAX_SHOWN) console.log(`and ${losses.length - MAX_SHOWN} more (--json)`)
  })
}

async function drillIn(url: string, config: Config, real: Database, place: EscrowPlace) {
  if (config.databaseUrl === null) {
    throw new Failure('a drill needs PostgreSQL: embedded storage has one database')
  }
  const secret = new Secret(url)
  const settings = { ...config, databaseUrl: secret, databaseDirectUrl: secret }
  const scratch = await openDatabase(settings, pino({ level: 'silent' }))
  try {
    if ((await identityOf(scratch)) === (await identityOf(real))) {
      throw new Failure('the scratch database is the real one, nothing was changed')
    }
    await scratch.withDirect((db) => migrateToLatest(db))
    await copyDeployment(real.db, scratch.db)
    const restored = toJson(await restoreInto(scratch, config, place, false))
    return { restored, compared: await compareAccounts(real.db, scratch.db) }
  } finally {
    await scratch.close()
  }
}

/** Creates a database on the same server, and drops it afterwards. */
async function drillBeside(config: Config, real: Database, place: EscrowPlace) {
  const name = `amo_drill_${randomBytes(6).toString('hex')}`
  const url = new URL((config.databaseDirectUrl ?? new Secret('')).reveal())
  url.pathname = `/${name}`
  await runAlone(real, `create database ${name}`)
  try {
    return await drillIn(url.href, config, real, place)
  } finally {
    await runAlone(real, `drop database if exists ${name} with (force)`)
  }
}

async function runAlone(real: Database, statement: string): Promise<void> {
  try {
    await real.withDirect((db) => sql.raw(statement).execute(db))
  } catch (cause) {
    throw new Failure(`${statement.split(' ')[0]} database failed: ${(cause as Error).message}`, {
      remedy: 'Give the role CREATEDB, or name an empty database in SCRATCH_URL.',
    })
  }
}

/** Identifies the database behind a URL, because one database has many URLs. */
async function identityOf({ db }: Database): Promise<string | undefined> {
  const { rows } = await sql<{ identity: string }>`
    select concat(pg_postmaster_start_time(), ' ', oid) as identity
    from pg_database where datname = current_database()
  `.execute(db)
  return rows[0]?.identity
}
