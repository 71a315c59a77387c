import { randomUUID } from 'node:crypto'
import pg from 'pg'
import type { Config } from '../config/load-config.ts'
import type { Secret } from '../vault/secret.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

const CONNECT_TIMEOUT_MS = 2_000
const QUERY_TIMEOUT_MS = 5_000

type Between = 'nothing' | 'session pooler' | 'transaction pooler'

/**
 * Examines poolers. LISTEN and migrations need a session, which a transaction pooler does not give.
 */
export async function examinePooler(config: Config): Promise<Finding[]> {
  const { databaseUrl, databaseDirectUrl } = config
  if (databaseUrl === null || databaseDirectUrl === null) return []
  const isSplit = databaseUrl.reveal() !== databaseDirectUrl.reveal()
  const between = await detectPooler(databaseUrl)
  const direct = isSplit ? await detectPooler(databaseDirectUrl) : between
  if (direct === 'transaction pooler') {
    return [
      fail(
        isSplit
          ? 'DATABASE_DIRECT_URL leads through a transaction pooler: no notification arrives'
          : 'DATABASE_URL leads through a transaction pooler and DATABASE_DIRECT_URL is not set: no notification arrives',
        'Set DATABASE_DIRECT_URL to PostgreSQL itself, for LISTEN and migrations.',
      ),
    ]
  }
  if (between === 'nothing') return [ok('no pooler')]
  const text = `DATABASE_URL leads through a ${between}`
  if (isSplit) return [ok(`${text}, DATABASE_DIRECT_URL leads past it`)]
  return [
    warn(
      `${text}: LISTEN occupies one of its connections permanently`,
      'Set DATABASE_DIRECT_URL to PostgreSQL itself.',
    ),
  ]
}

/**
 * Detects a pooler. At the start of a session a pooler does not know the backend yet, so it invents
 * the process id. A transaction pooler changes the backend between transactions, so that a setting
 * of the session is lost or belongs to another client.
 */
async function detectPooler(url: Secret): Promise<Between> {
  await using first = await connect(url)
  const { client } = first
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
  // From the protocol's BackendKeyData. The driver's types leave it out.
  const { processID } = client as pg.Client & { processID?: number }
  if (rows[0]?.pid === processID) return 'nothing'
  const mark = randomUUID()
  await client.query(`select set_config('amo.doctor', $1, false)`, [mark])
  // Occupies the backend that was used last.
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
