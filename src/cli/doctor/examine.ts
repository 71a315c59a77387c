import { pino } from 'pino'
import { type Config, loadConfig } from '../../config.ts'
import { ConfigError } from '../../config-checks.ts'
import { type Database, openDatabase } from '../../db/database.ts'
import { Integrations } from '../../integrations/service.ts'
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

const SEE_LOG = 'Look at the message; the areas above and below may say why.'

/** Everything that a broker with these settings needs, area by area. Changes nothing and spends nothing. */
export async function* examine(variables: NodeJS.ProcessEnv): AsyncGenerator<AreaFinding> {
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
  yield* area('settings', async () => examineSettings(config))
  yield* area('data dir', () => examineDataDir(config))
  yield* area('redis', () => examineRedis(config))
  const opened = await openOrSay(config)
  if (!('database' in opened)) return yield { area: 'database', ...opened }
  try {
    yield* examineInside(config, opened.database)
  } finally {
    await opened.database.close()
  }
}

async function* examineInside(config: Config, database: Database): AsyncGenerator<AreaFinding> {
  const { db } = database
  const found: AreaFinding[] = []
  for await (const each of area('database', () => examineDatabase(config, db))) {
    found.push(each)
    yield each
  }
  // All that follows would only say the same again.
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
  await integrations.reload()
  const all = integrations.all()
  yield* area('integrations', async () => examineIntegrations(all))
  yield* area('redirect URIs', () => examineRedirects(all))
  yield* area('load', () => examineLoad(db))
  yield* area('provider', () => examineProvider(all, db))
}

async function openOrSay(config: Config): Promise<{ database: Database } | Finding> {
  try {
    return { database: await openDatabase(config, pino({ level: 'silent' })) }
  } catch (error) {
    const text = (error as Error).message
    if (!text.includes('is held'))
      return fail(text, 'DATA_DIR must hold what the broker left there.')
    return warn(
      'the embedded storage is in use by a running broker, so nothing in it was looked at',
      'Ask that broker: amo-broker accounts list, integrations list; or stop it and run doctor again.',
    )
  }
}

/** A check that itself breaks is a finding too. */
async function* area(name: string, check: () => Promise<Finding[]>): AsyncGenerator<AreaFinding> {
  try {
    const findings = await check()
    for (const finding of findings) yield { area: name, ...finding }
    if (findings.length === 0) yield { area: name, ...ok('nothing to look at') }
  } catch (error) {
    const { code, message } = error as { code?: string; message?: string }
    yield { area: name, ...fail(message || code || 'it broke', SEE_LOG) }
  }
}
