import { randomUUID } from 'node:crypto'
import pg from 'pg'
import type { Config } from '../../config.ts'
import type { Secret } from '../../vault/secret.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

const CONNECT_TIMEOUT_MS = 2_000
const QUERY_TIMEOUT_MS = 5_000

type Between = 'nothing' | 'session pooler' | 'transaction pooler'

/** LISTEN and migrations need a session of their own, which a transaction pooler does not give. */
export async function examinePooler(config: Config): Promise<Finding[]> {
  const { databaseUrl, databaseDirectUrl } = config
  if (databaseUrl === null || databaseDirectUrl === null) return []
  const isSplit = databaseUrl.reveal() !== databaseDirectUrl.reveal()
  const between = await lookBetween(databaseUrl)
  const direct = isSplit ? await lookBetween(databaseDirectUrl) : between
  if (direct === 'transaction pooler') {
    return [
      fail(
        isSplit
          ? 'DATABASE_DIRECT_URL leads through a transaction pooler: no notification is ever heard'
          : 'DATABASE_URL leads through a transaction pooler, and DATABASE_DIRECT_URL is not set: no notification is ever heard',
        'Set DATABASE_DIRECT_URL to PostgreSQL itself, for LISTEN and migrations.',
      ),
    ]
  }
  if (between === 'nothing') return [ok('none in between')]
  const text = `DATABASE_URL leads through a ${between}`
  if (isSplit) return [ok(`${text}, DATABASE_DIRECT_URL past it`)]
  return [
    warn(
      `${text}: LISTEN takes one of its connections for good`,
      'Set DATABASE_DIRECT_URL to PostgreSQL itself.',
    ),
  ]
}

/**
 * A pooler cannot know at the start of a session which backend will serve it, so the process id that it tells is its own
 * invention. A transaction pooler hands the backend on between transactions: what was set in it is then gone, or another's.
 */
async function lookBetween(url: Secret): Promise<Between> {
  await using first = await connect(url)
  const { client } = first
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
  // Of the protocol's BackendKeyData; the driver's types leave it out.
  const { processID } = client as pg.Client & { processID?: number }
  if (rows[0]?.pid === processID) return 'nothing'
  const mark = randomUUID()
  await client.query(`select set_config('amo.doctor', $1, false)`, [mark])
  // Takes the backend that was used last, if it can be had.
  await using second = await connect(url)
  await second.client.query('begin')
  const again = await client.query<{ mark: string | null; pid: number }>(
    `select current_setting('amo.doctor', true) as mark, pg_backend_pid() as pid`,
  )
  await second.client.query('rollback')
  const isKept = again.rows[0]?.mark === mark && again.rows[0]?.pid === rows[0]?.pid
  await client.query(`select set_config('amo.doctor', '', false)`)
  return isKept ? 'session pooler' : 'transaction pooler'
}

async function connect(url: Secret): Promise<AsyncDisposable & { client: pg.Client }> {
  const client = new pg.Client({
    connectionString: url.reveal(),
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
    application_name: 'amo-broker doctor',
  })
  client.on('error', () => {})
  await client.connect()
  return { client, [Symbol.asyncDispose]: () => client.end() }
}
