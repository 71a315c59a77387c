import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { buildInternalApp, buildPublicApp } from '../app.ts'
import { Broker } from '../broker.ts'
import { loadConfig } from '../config.ts'
import { Secret } from '../vault/secret.ts'

/**
 * The OpenAPI document of both listeners in one, as it stands in `openapi/`. Nothing is listened on, and no database is
 * asked: only the schemas of the routes are read.
 */
export async function openapiDocuments(): Promise<Record<string, string>> {
  const dataDir = await mkdtemp(join(tmpdir(), 'amo-openapi-'))
  const config = await loadConfig({
    DATA_DIR: dataDir,
    DATABASE_URL: 'postgres://unused@127.0.0.1:1/unused',
    DEPLOYMENT_ID: 'unused',
    OPERATOR_KEY: 'unused'.repeat(5),
    ENCRYPTION_KEYS: `unused:${Buffer.alloc(32).toString('base64')}`,
  })
  const log = pino({ level: 'silent' })
  const broker = await Broker.open(config, log)
  const { trustProxy, internalTls } = config
  const options = { broker, log, operatorKey: new Secret(''), trustProxy, internalTls }
  const internal = await buildInternalApp(options)
  const open = await buildPublicApp(options)
  try {
    await Promise.all([internal.ready(), open.ready()])
    const text = (document: object) => `${JSON.stringify(document, null, 2)}\n`
    return { 'openapi.json': text(internal.swagger()), 'openapi-public.json': text(open.swagger()) }
  } finally {
    await Promise.all([internal.close(), open.close()])
    await broker.close()
    await rm(dataDir, { recursive: true })
  }
}
