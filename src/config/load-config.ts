import { randomBytes } from 'node:crypto'
import { getHeapStatistics } from 'node:v8'
import env from '@fastify/env'
import { KeyRing } from '../vault/key-ring.ts'
import { Secret } from '../vault/secret.ts'
import {
  ConfigError,
  checkCache,
  checkCertificateChecks,
  checkOperatorKey,
  checkStorage,
  nearMisses,
} from './checks.ts'
import { cleanValues } from './clean-values.ts'
import { type IntegrationConfig, readIntegrations } from './integrations.ts'
import { type InternalTls, readInternalTls, readTrustProxy, type TrustProxy } from './listeners.ts'
import { type OpenIdConfig, readOpenId } from './open-id.ts'
import { fileSettings, readSecretFiles } from './secret-files.ts'
import { type Settings, settings } from './settings.ts'
import { checkDatabaseUrl, checkEscrowUrl, checkRedisUrl, checkWebUrl, originOf } from './urls.ts'

export interface Config {
  mode: 'embedded' | 'standalone' | 'replicated'
  databaseUrl: Secret | null
  databaseDirectUrl: Secret | null
  redisUrl: Secret | null
  /** Null: no escrow. */
  escrowUrl: Secret | null
  dataDir: string
  deploymentId: string
  internal: { host: string; port: number }
  public: { host: string; port: number }
  publicUrl: string | null
  /** Company that the public pages name. */
  brandName: string | null
  /** Origin of the console as browsers see it. */
  consoleUrl: string
  /** Null: people sign in to the console with keys only. */
  openId: OpenIdConfig | null
  trustProxy: TrustProxy
  /** Null: plain http. */
  internalTls: InternalTls | null
  keyRing: KeyRing
  /** Null in embedded mode, where the key is stored in `dataDir`. */
  operatorKey: Secret | null
  integrations: IntegrationConfig[]
  sendLimitMs: number
  lingerMs: number
  settleMs: number
  readWaitMs: number
  heartbeatMs: number
  minRestMs: number
  startLimitMs: number
  cacheAccounts: number
  drainMs: number
  pacePerSecond: number
  breakerMs: number
  /** This process claims and sends nothing. */
  isHeld: boolean
  /** Endpoints of events may be at private addresses. */
  endpointsAllowPrivate: boolean
  auditDays: number
  attemptDays: number
  eventDays: number
  checkIntervalMinutes: number
  logLevel: Settings['LOG_LEVEL']
}

/** Reads every setting from `variables`. Throws `ConfigError` that names each one that is wrong. */
export async function loadConfig(variables: NodeJS.ProcessEnv): Promise<Config> {
  const names = Object.keys(settings.properties)
  const problems = nearMisses(variables, [...names, ...fileSettings(names)])
  checkCertificateChecks(variables, problems)
  const complete = readSecretFiles(variables, names, problems)
  const read = await readSettings(cleanValues(complete, names, problems))
  if (Array.isArray(read)) throw new ConfigError([...problems, ...read])
  const config = resolve(read, problems)
  if (problems.length > 0) throw new ConfigError(problems)
  return config
}

/** An error of ajv. Its value is never shown: it may be a secret in the wrong place. */
interface SettingError {
  instancePath: string
  message?: string
  params: { allowedValues?: string[] }
}

/** The part of a Fastify instance that `@fastify/env` needs. Settings are read without a server. */
class SettingsHolder {
  settings: unknown

  decorate(_name: string, settings: unknown): void {
    this.settings = settings
  }

  /** Keeps the plugin from adding its `getEnvs`. */
  hasDecorator(): boolean {
    return true
  }

  hasRequestDecorator(): boolean {
    return true
  }
}

/** @returns the settings, or one line for each that is wrong */
function readSettings(variables: NodeJS.ProcessEnv): Settings | string[] {
  // An empty variable counts as absent: compose files set empty ones.
  const data = Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== ''))
  const holder = new SettingsHolder()
  let failure: (Error & { errors?: SettingError[] }) | undefined
  const done = (error?: typeof failure) => {
    failure = error
  }
  Reflect.apply(env, undefined, [
    holder,
    { schema: structuredClone(settings), data, env: false },
    done,
  ])
  if (failure === undefined) return holder.settings as Settings
  if (failure.errors === undefined) throw failure
  return failure.errors.map(({ instancePath, message, params }) => {
    const allowed = params.allowedValues === undefined ? '' : `: ${params.allowedValues.join(', ')}`
    return `${instancePath.slice(1)} ${message}${allowed}`
  })
}

function resolve(read: Settings, problems: string[]): Config {
  const mode = !read.DATABASE_URL ? 'embedded' : read.REDIS_URL ? 'replicated' : 'standalone'
  checkStorage(read, problems)
  checkOperatorKey(read, problems)
  checkDatabaseUrl('DATABASE_URL', read.DATABASE_URL, problems)
  checkDatabaseUrl('DATABASE_DIRECT_URL', read.DATABASE_DIRECT_URL, problems)
  checkRedisUrl('REDIS_URL', read.REDIS_URL, problems)
  checkEscrowUrl('ESCROW_URL', read.ESCROW_URL, problems)
  checkWebUrl('PUBLIC_URL', read.PUBLIC_URL, problems)
  checkWebUrl('CONSOLE_URL', read.CONSOLE_URL, problems)
  checkCache(read.CACHE_ACCOUNTS, getHeapStatistics().heap_size_limit, problems)
  const internalTls = readInternalTls(read, problems)
  return {
    mode,
    databaseUrl: secretOrNull(read.DATABASE_URL),
    databaseDirectUrl: secretOrNull(read.DATABASE_DIRECT_URL || read.DATABASE_URL),
    redisUrl: secretOrNull(read.REDIS_URL),
    escrowUrl: secretOrNull(read.ESCROW_URL),
    dataDir: read.DATA_DIR,
    deploymentId: read.DEPLOYMENT_ID || 'embedded',
    internal: { host: read.INTERNAL_HOST, port: read.INTERNAL_PORT },
    public: { host: read.PUBLIC_HOST, port: read.PUBLIC_PORT },
    publicUrl: read.PUBLIC_URL ? originOf(read.PUBLIC_URL) : null,
    brandName: read.BRAND_NAME || null,
    consoleUrl: consoleOrigin(read, internalTls !== null),
    openId: readOpenId(read, problems),
    trustProxy: readTrustProxy(read, problems),
    internalTls,
    keyRing: readKeyRing(read.ENCRYPTION_KEYS, problems),
    operatorKey: secretOrNull(read.OPERATOR_KEY),
    integrations: readIntegrations(read, problems),
    sendLimitMs: read.SEND_LIMIT_MS,
    lingerMs: read.LINGER_MS,
    settleMs: read.SETTLE_MS,
    readWaitMs: read.READ_WAIT_MS,
    heartbeatMs: read.HEARTBEAT_MS,
    minRestMs: read.MIN_REST_MS,
    startLimitMs: read.START_LIMIT_MS,
    cacheAccounts: read.CACHE_ACCOUNTS,
    drainMs: read.DRAIN_MS,
    pacePerSecond: read.PACE_PER_SECOND,
    breakerMs: read.BREAKER_MS,
    isHeld: read.HOLD_SENDS,
    endpointsAllowPrivate: read.ENDPOINTS_ALLOW_PRIVATE,
    auditDays: read.AUDIT_DAYS,
    attemptDays: read.ATTEMPT_DAYS,
    eventDays: read.EVENT_DAYS,
    checkIntervalMinutes: read.CHECK_INTERVAL_MINUTES,
    logLevel: read.LOG_LEVEL,
  }
}

/** Returns the key ring, or a stand-in when there is a problem: then the config is never used. */
function readKeyRing(text: string, problems: string[]): KeyRing {
  try {
    if (text) return KeyRing.parse(text)
    problems.push(
      'ENCRYPTION_KEYS is missing: make one with amo-broker keygen and keep it as safe as a password',
    )
  } catch (error) {
    problems.push(`ENCRYPTION_KEYS is malformed: ${(error as Error).message}`)
  }
  return KeyRing.parse(`none:${randomBytes(32).toString('base64')}`)
}

function consoleOrigin({ CONSOLE_URL, INTERNAL_PORT }: Settings, isHttps: boolean): string {
  return originOf(CONSOLE_URL || `${isHttps ? 'https' : 'http'}://127.0.0.1:${INTERNAL_PORT}`)
}

function secretOrNull(text: string): Secret | null {
  return text ? new Secret(text) : null
}
