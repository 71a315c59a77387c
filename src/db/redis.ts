import { Cluster, Redis } from 'ioredis'
import type { Logger } from 'pino'
import { parseRedisUrl, type RedisUrl } from '../config/redis-url.ts'
import { withTimeout } from '../lib/with-timeout.ts'
import type { Secret } from '../vault/secret.ts'

/** Redis only saves work, and a call that takes longer than this saves none. */
const COMMAND_TIMEOUT_MS = 250
const CONNECT_TIMEOUT_MS = 2_000
const RECONNECT_MS = 500
const FIRST_LIMIT_MS = 5_000

const NO_CONNECTION = 'no connection'

/** The nodes of a Cluster say which slots they hold, but not at which address. */
class NoAddress extends Error {
  override readonly message =
    'the nodes of the cluster announce no address: set cluster-announce-ip'
}

/** One server, the primary that Sentinel names, or a Cluster. */
export type RedisClient = Redis | Cluster

/** Why the last connection of a client failed. Commands only say that there is none. */
const connectionFailures = new WeakMap<RedisClient, string>()

/**
 * Opens a connection that fails at once instead of queueing, and never sends a command twice. Waits
 * for the first connection attempt, which may fail.
 */
export async function openRedis(url: Secret, log: Logger): Promise<RedisClient> {
  const redis = createClient(parseRedisUrl(url.reveal()))
  let isUp = true
  redis.on('ready', () => {
    isUp = true
    connectionFailures.delete(redis)
    log.info('connected to Redis')
  })
  redis.on('close', () => {
    const reason = connectionFailures.get(redis) ?? 'closed by the server'
    if (isUp) log.warn({ reason }, 'no connection to Redis')
    isUp = false
  })
  redis.on('error', (error: Error) => {
    const reason = reasonOf(error)
    connectionFailures.set(redis, reason)
    log.debug({ reason }, 'Redis failed')
  })
  redis.on('connect', () => {
    // The client drops nodes without an address and tries again for ever, without an error.
    const isAlone = redis instanceof Cluster && redis.nodes().length === 0
    if (isAlone) redis.emit('error', new NoAddress())
  })
  // A Cluster whose first look at the slots fails may never settle this promise.
  const connected = redis.connect().catch(() => {})
  await withTimeout(connected, FIRST_LIMIT_MS, undefined)
  return redis
}

/** Returns why a command failed, or why there is no connection for it, without anything secret. */
export function commandReasonOf(error: unknown, redis: RedisClient): string {
  const reason = reasonOf(error)
  return reason === NO_CONNECTION ? (connectionFailures.get(redis) ?? reason) : reason
}

/** Returns why a command or a connection failed, without anything secret. */
export function reasonOf(error: unknown): string {
  const { name, code, message, lastNodeError } = error as Error & {
    code?: string
    lastNodeError?: Error
  }
  if (lastNodeError !== undefined) return reasonOf(lastNodeError)
  if (error instanceof NoAddress) return message
  if (name === 'ReplyError') return message.slice(0, 120)
  if (code !== undefined) return code
  if (/^All sentinels are unreachable/.test(message)) return 'no sentinel names a primary'
  return message.includes('timed out') ? 'no answer' : NO_CONNECTION
}

function createClient(url: RedisUrl): RedisClient {
  const { kind, addresses, db, primary } = url
  if (kind === 'cluster') return new Cluster(addresses, clusterOptions(url))
  if (kind === 'single') return new Redis({ ...optionsOf(url), ...addresses[0], db })
  return new Redis({
    ...optionsOf(url),
    db,
    sentinels: addresses,
    name: primary ?? '',
    sentinelRetryStrategy: () => RECONNECT_MS,
    // After a failover, connections to the former primary answer READONLY.
    reconnectOnError: ({ message }: Error) => message.startsWith('READONLY'),
    ...(url.sentinelUsername === undefined ? {} : { sentinelUsername: url.sentinelUsername }),
    ...(url.sentinelPassword === undefined ? {} : { sentinelPassword: url.sentinelPassword }),
    ...(url.isTls ? { enableTLSForSentinelMode: true, sentinelTLS: {} } : {}),
  })
}

function optionsOf({ isTls, username, password }: RedisUrl) {
  return {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(isTls ? { tls: {} } : {}),
    lazyConnect: true,
    commandTimeout: COMMAND_TIMEOUT_MS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => RECONNECT_MS,
  }
}

function clusterOptions(url: RedisUrl) {
  const { enableOfflineQueue: _queue, retryStrategy: _retry, ...redisOptions } = optionsOf(url)
  return {
    lazyConnect: true,
    enableOfflineQueue: false,
    clusterRetryStrategy: () => RECONNECT_MS,
    redisOptions,
  }
}
