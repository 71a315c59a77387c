import { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { Secret } from '../vault/secret.ts'

/** Redis only saves work: a call that takes longer than this saved none. */
const COMMAND_TIMEOUT_MS = 250
const CONNECT_TIMEOUT_MS = 2_000
const RECONNECT_MS = 500

/** A connection that fails at once instead of queueing, and never sends a command twice. */
export async function openRedis(url: Secret, log: Logger): Promise<Redis> {
  const redis = new Redis(url.reveal(), {
    lazyConnect: true,
    commandTimeout: COMMAND_TIMEOUT_MS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => RECONNECT_MS,
  })
  let isUp = true
  redis.on('ready', () => {
    isUp = true
    log.info('connected to Redis')
  })
  redis.on('close', () => {
    if (isUp) log.warn('no connection to Redis')
    isUp = false
  })
  redis.on('error', (error: { code?: string }) => log.debug({ code: error.code }, 'Redis failed'))
  await redis.connect().catch(() => {})
  return redis
}
