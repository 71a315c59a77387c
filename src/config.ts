import { getHeapStatistics } from 'node:v8'
import env from '@fastify/env'
import fastify from 'fastify'
import { ConfigError, checkCache, checkUrl, nearMisses, originOf } from './config-checks.ts'
import {
  type InternalTls,
  readInternalTls,
  readTrustProxy,
  type TrustProxy,
} from './config-listeners.ts'
import { type Settings, settings } from './settings.ts'
import { KeyRing } from './vault/key-ring.ts'
import { Secret } from './vault/secret.ts'

export interface IntegrationConfig {
  name: 'amocrm' | 'kommo'
  provider: 'amocrm' | 'kommo'
  clientId: string
  clientSecret: Secret
  redirectUri: string
  sandboxOrigin: string | null
}

export interface Config {
  mode: 'embedded' | 'standalone' | 'replicated'
  databaseUrl: Secret | null
  databaseDirectUrl: Secret | null
  redisUrl: Secret | null
  dataDir: string
  deploymentId: string
  internal: { host: string; port: number }
  public: { host: string; port: number }
  publicUrl: string | null
  trustProxy: TrustProxy
  /** Null: plain http. */
  internalTls: InternalTls | null
  keyRing: KeyRing
  /** Null in embedded mode when it is to be read from, or made in, `dataDir`. */
  operatorKey: Secret | null
  integrations: IntegrationConfig[]
  sendLimitMs: number
  lingerMs: number
  settleMs: number
  readWaitMs: number
  heartbeatMs: number
  cacheAccounts: number
  drainMs: number
  pacePerSecond: number
  breakerMs: number
  /** This process claims and sends nothing. */
  isHeld: boolean
  auditDays: number
  logLevel: Settings['LOG_LEVEL']
}

const MIN_OPERATOR_KEY_LENGTH = 24

/** Reads every setting from `variables`; throws `ConfigError` naming each one that is wrong. */
export async function loadConfig(variables: NodeJS.ProcessEnv): Promise<Config> {
  const problems = nearMisses(variables, Object.keys(settings.properties))
  const read = await readSettings(variables)
  if (Array.isArray(read)) throw new ConfigError([...problems, ...read])
  const config = resolve(read, problems)
  if (problems.length > 0) throw new ConfigError(problems)
  return config
}

/** Of ajv. The value itself is never told: it may be a secret in the wrong place. */
interface SettingError {
  instancePath: string
  message?: string
  params: { allowedValues?: string[] }
}

async function readSettings(variables: NodeJS.ProcessEnv): Promise<Settings | string[]> {
  const app = fastify()
  // An empty variable is an absent one: compose files set those.
  const data = Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== ''))
  try {
    await app.register(env, { schema: structuredClone(settings), data, env: false })
    return app.getEnvs<Settings>()
  } catch (error) {
    const { errors } = error as { errors?: SettingError[] }
    if (errors === undefined) throw error
    return errors.map(({ instancePath, message, params }) => {
      const allowed =
        params.allowedValues === undefined ? '' : `: ${params.allowedValues.join(', ')}`
      return `${instancePath.slice(1)} ${message}${allowed}`
    })
  } finally {
    await app.close()
  }
}

function resolve(read: Settings, problems: string[]): Config {
  const mode = !read.DATABASE_URL ? 'embedded' : read.REDIS_URL ? 'replicated' : 'standalone'
  const embedded = mode === 'embedded'
  if (embedded && read.REDIS_URL) {
    problems.push('REDIS_URL is set without DATABASE_URL: set both, or neither (embedded mode)')
  }
  if (embedded && read.DATABASE_DIRECT_URL) {
    problems.push('DATABASE_DIRECT_URL is set without DATABASE_URL: set both, or neither')
  }
  if (!embedded && !read.DEPLOYMENT_ID) {
    problems.push(
      'DEPLOYMENT_ID is missing: name this deployment, such as "production", and no other one so',
    )
  }
  if (!embedded && !read.OPERATOR_KEY) {
    problems.push('OPERATOR_KEY is missing: make one with npm run --silent keygen')
  }
  if (read.OPERATOR_KEY && read.OPERATOR_KEY.length < MIN_OPERATOR_KEY_LENGTH) {
    problems.push(
      `OPERATOR_KEY must have at least ${MIN_OPERATOR_KEY_LENGTH} characters: make one with npm run --silent keygen`,
    )
  }
  checkUrl('DATABASE_URL', read.DATABASE_URL, ['postgres:', 'postgresql:'], problems)
  checkUrl('DATABASE_DIRECT_URL', read.DATABASE_DIRECT_URL, ['postgres:', 'postgresql:'], problems)
  checkUrl('REDIS_URL', read.REDIS_URL, ['redis:', 'rediss:'], problems)
  checkUrl('PUBLIC_URL', read.PUBLIC_URL, ['http:', 'https:'], problems)
  checkCache(read.CACHE_ACCOUNTS, getHeapStatistics().heap_size_limit, problems)
  const integrations = [
    integration('AMO', 'amocrm', read, problems),
    integration('KOMMO', 'kommo', read, problems),
  ].filter((each) => each !== undefined)
  return {
    mode,
    databaseUrl: secretOrNull(read.DATABASE_URL),
    databaseDirectUrl: secretOrNull(read.DATABASE_DIRECT_URL || read.DATABASE_URL),
    redisUrl: secretOrNull(read.REDIS_URL),
    dataDir: read.DATA_DIR,
    deploymentId: read.DEPLOYMENT_ID || 'embedded',
    internal: { host: read.INTERNAL_HOST, port: read.INTERNAL_PORT },
    public: { host: read.PUBLIC_HOST, port: read.PUBLIC_PORT },
    publicUrl: read.PUBLIC_URL ? originOf(read.PUBLIC_URL) : null,
    trustProxy: readTrustProxy(read, problems),
    internalTls: readInternalTls(read, problems),
    keyRing: keyRing(read.ENCRYPTION_KEYS, problems),
    operatorKey: secretOrNull(read.OPERATOR_KEY),
    integrations,
    sendLimitMs: read.SEND_LIMIT_MS,
    lingerMs: read.LINGER_MS,
    settleMs: read.SETTLE_MS,
    readWaitMs: read.READ_WAIT_MS,
    heartbeatMs: read.HEARTBEAT_MS,
    cacheAccounts: read.CACHE_ACCOUNTS,
    drainMs: read.DRAIN_MS,
    pacePerSecond: read.PACE_PER_SECOND,
    breakerMs: read.BREAKER_MS,
    isHeld: read.HOLD_SENDS,
    auditDays: read.AUDIT_DAYS,
    logLevel: read.LOG_LEVEL,
  }
}

function integration(
  prefix: 'AMO' | 'KOMMO',
  name: 'amocrm' | 'kommo',
  read: Settings,
  problems: string[],
): IntegrationConfig | undefined {
  const names = {
    clientId: `${prefix}_CLIENT_ID`,
    clientSecret: `${prefix}_CLIENT_SECRET`,
    redirectUri: `${prefix}_REDIRECT_URI`,
  } as const
  const missing = Object.values(names).filter((setting) => !read[setting])
  const sandboxOrigin = read[`${prefix}_SANDBOX_ORIGIN`]
  if (missing.length === Object.values(names).length && !sandboxOrigin) return undefined
  for (const setting of missing) {
    problems.push(`${setting} is missing: the integration "${name}" needs it`)
  }
  const redirectUri = read[names.redirectUri]
  checkUrl(names.redirectUri, redirectUri, ['http:', 'https:'], problems)
  if (sandboxOrigin && !/^https?:$/.test(URL.parse(sandboxOrigin)?.protocol ?? '')) {
    problems.push(`${prefix}_SANDBOX_ORIGIN must be a URL that starts with http:// or https://`)
  }
  if (read.PUBLIC_URL && redirectUri && originOf(redirectUri) !== originOf(read.PUBLIC_URL)) {
    problems.push(
      `${names.redirectUri} must be on the origin of PUBLIC_URL: the browser's cookie is bound to it`,
    )
  }
  return {
    name,
    provider: name,
    clientId: read[names.clientId],
    clientSecret: new Secret(read[names.clientSecret]),
    redirectUri,
    sandboxOrigin: sandboxOrigin ? originOf(sandboxOrigin) : null,
  }
}

function keyRing(text: string, problems: string[]): KeyRing {
  try {
    if (text) return KeyRing.parse(text)
    problems.push(
      'ENCRYPTION_KEYS is missing: make one with npm run --silent keygen and keep it as safe as a password',
    )
  } catch (error) {
    problems.push(`ENCRYPTION_KEYS is malformed: ${(error as Error).message}`)
  }
  return KeyRing.parse(`none:${Buffer.alloc(32).toString('base64')}`)
}

function secretOrNull(text: string): Secret | null {
  return text ? new Secret(text) : null
}
