import { pino } from 'pino'
import { ConfigError } from '../config/checks.ts'
import { type Config, loadConfig } from '../config/load-config.ts'
import { type Database, openDatabase } from '../db/database.ts'
import { Integrations } from '../integrations/directory.ts'
import { examineDataDir } from './data-dir.ts'
import { examineDatabase, examineReplication, examineSchema } from './database.ts'
import { type Finding, fail, ok, warn } from './finding.ts'
import { examineKeys } from './keys.ts'
import { examineLoad } from './load.ts'
import { examinePooler } from './pooler.ts'
import { examineProvider } from './provider.ts'
import { examineIntegrations, examineRedirects } from './redirects.ts'
import { examineRedis } from './redis.ts'
import { examineSettings } from './settings.ts'

export type AreaFinding = Finding & { area: string }

const SEE_OTHERS = 'See the other areas: one of them may show the cause.'

/**
 * Examines everything that a broker with these settings needs, area by area. Changes nothing and
 * spends nothing.
 */
export async function* diagnose(variables: NodeJS.ProcessEnv): AsyncGenerator<AreaFinding> {
  let config: Config
  try {
    config = await loadConfig(variables)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    for (const problem of error.problems) {
      yield { area: 'settings', ...fail(problem, '.env.example explains every setting.') }
    }
    return
  }
  yield* examineOutside(config)
  const opened = await tryOpen(config)
  if (!('database' in opened)) return yield { area: 'database', ...opened }
  try {
    yield* examineInside(config, opened.database)
  } finally {
    await opened.database.close()
  }
}

/** Examines the same for a broker that runs, through the storage that it has open. */
export async function* diagnoseRunning(
  config: Config,
  database: Database,
): AsyncGenerator<AreaFinding> {
  yield* examineOutside(config)
  yield* examineInside(config, database)
}

async function* examineOutside(config: Config): AsyncGenerator<AreaFinding> {
  yield* area('settings', async () => examineSettings(config))
  yield* area('data dir', () => examineDataDir(config))
  yield* area('redis', () => examineRedis(config))
}

async function* examineInside(config: Config, database: Database): AsyncGenerator<AreaFinding> {
  const { db } = database
  const found: AreaFinding[] = []
  for await (const each of area('database', () => examineDatabase(config, db))) {
    found.push(each)
    yield each
  }
  // Everything that follows would fail for the same reason.
  if (found.some(({ verdict }) => verdict === 'fail')) return
  if (config.mode !== 'embedded') {
    yield* area('replication', () => examineReplication(db))
    yield* area('pooler', () => examinePooler(config))
  }
  const schema = await Array.fromAsync(area('schema', () => examineSchema(config, db)))
  yield* schema
  if (schema.some(({ verdict }) => verdict === 'fail')) return
  yield* area('keys', () => examineKeys(config, database))
  const integrations = new Integrations(database, config.keyRing, pino({ level: 'silent' }))
  integrations.trustSandboxes(config)
  await integrations.reload()
  const all = integrations.all()
  yield* area('integrations', async () => examineIntegrations(all))
  yield* area('redirect URIs', () => examineRedirects(all))
  yield* area('load', () => examineLoad(db))
  yield* area('provider', () => examineProvider(all, db))
}

async function tryOpen(config: Config): Promise<{ database: Database } | Finding> {
  try {
    return { database: await openDatabase(config, pino({ level: 'silent' })) }
  } catch (error) {
    const text = (error as Error).message
    if (!text.includes('is held'))
      return fail(text, 'DATA_DIR must contain the files that the broker wrote there.')
    return warn(
      'the embedded storage is in use by a running broker, so it was not examined',
      'Run amo-broker accounts list and integrations list, or stop the broker and run doctor again.',
    )
  }
}

/** Runs one check. A check that throws is a finding, too. */
async function* area(name: string, check: () => Promise<Finding[]>): AsyncGenerator<AreaFinding> {
  try {
    const findings = await check()
    for (const finding of findings) yield { area: name, ...finding }
    if (findings.length === 0) yield { area: name, ...ok('nothing to examine') }
  } catch (error) {
    const { code, message } = error as { code?: string; message?: string }
    yield { area: name, ...fail(message || code || 'the check failed', SEE_OTHERS) }
  }
}
