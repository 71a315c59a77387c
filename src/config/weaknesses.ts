import type { Secret } from '../vault/secret.ts'
import type { Config } from './load-config.ts'
import { parseRedisUrl } from './redis-url.ts'

/** A valid setting with a risk that only the operator can judge. Its texts contain no secret. */
interface Weakness {
  found: string
  remedy: string
}

const LOOPBACK = /^(localhost|127(\.\d+){3}|\[?::1\]?)$/

/**
 * Finds connections that other machines on the way can read. They are accepted, because a private
 * network is common; the log and the doctor name them.
 */
export function findWeaknesses(config: Config): Weakness[] {
  const { databaseUrl, databaseDirectUrl, redisUrl } = config
  const direct = databaseDirectUrl?.reveal() === databaseUrl?.reveal() ? null : databaseDirectUrl
  return [
    ...postgresWeakness('DATABASE_URL', databaseUrl),
    ...postgresWeakness('DATABASE_DIRECT_URL', direct),
    ...redisWeakness(redisUrl),
  ]
}

function postgresWeakness(setting: string, secret: Secret | null): Weakness[] {
  if (secret === null) return []
  const url = new URL(secret.reveal())
  // A folder is that of a Unix socket.
  const host = url.searchParams.get('host') ?? decodeURIComponent(url.hostname)
  if (host.startsWith('/') || LOOPBACK.test(host)) return []
  const mode = url.searchParams.get('sslmode') ?? url.searchParams.get('ssl') ?? 'disable'
  const remedy = `Add ?sslmode=verify-full to ${setting}, and name a private authority in NODE_EXTRA_CA_CERTS.`
  if (['disable', 'allow', 'prefer', 'false', '0'].includes(mode)) {
    return [{ found: `${setting}: the connection to ${host} may be unencrypted`, remedy }]
  }
  if (mode !== 'no-verify') return []
  return [{ found: `${setting}: the certificate of ${host} is not checked`, remedy }]
}

function redisWeakness(secret: Secret | null): Weakness[] {
  if (secret === null) return []
  const { isTls, addresses } = parseRedisUrl(secret.reveal())
  const remote = isTls ? undefined : addresses.find(({ host }) => !LOOPBACK.test(host))
  if (remote === undefined) return []
  const remedy = 'Use rediss in REDIS_URL. Redis holds sealed copies and shared counters.'
  return [{ found: `REDIS_URL: the connection to ${remote.host} is not encrypted`, remedy }]
}
