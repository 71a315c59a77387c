import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { openBroker } from '../../broker.ts'
import { loadConfig } from '../../config/load-config.ts'
import { buildInternalApp } from '../../http/internal.ts'
import { buildPublicApp } from '../../http/public.ts'
import { Secret } from '../../vault/secret.ts'

/**
 * Returns the OpenAPI documents of both listeners by file name, as they are stored in `openapi/`.
 * Reads the schemas of the routes only: it opens no port and no database.
 */
export async function openapiDocuments(): Promise<Record<string, string>> {
  const dataDir = await mkdtemp(join(tmpdir(), 'amo-openapi-'))
  const config = await loadConfig({
    DATA_DIR: dataDir,
    DATABASE_URL: 'postgres://unused@127.0.0.1:1/unused',
    DEPLOYMENT_ID: 'unused',
    OPERATOR_KEY: randomBytes(24).toString('base64url'),
    ENCRYPTION_KEYS: `unused:${randomBytes(32).toString('base64')}`,
  })
  const log = pino({ level: 'silent' })
  const broker = await openBroker(config, log)
  const { trustProxy, internalTls, brandName } = config
  const options = { broker, log, operatorKey: new Secret(''), trustProxy, internalTls, brandName }
  const internal = await buildInternalApp(options)
  const open = await buildPublicApp(options)
  try {
    await Promise.all([internal.ready(), open.ready()])
    const text = (document: object) => `${JSON.stringify(document, null, 2)}\n`
    return {
      'openapi.json': text(await internal.apiDocs.document()),
      'openapi-public.json': text(await open.apiDocs.document()),
    }
  } finally {
    await Promise.all([internal.close(), open.close()])
    await broker.close()
    await rm(dataDir, { recursive: true })
  }
}
