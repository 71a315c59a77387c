/** Schemes of a Redis behind Sentinel, and of a Cluster, without and with TLS. */
export const SENTINEL: readonly string[] = ['redis+sentinel', 'rediss+sentinel']
export const CLUSTER: readonly string[] = ['redis+cluster', 'rediss+cluster']

const PORTS = { single: 6379, sentinel: 26_379, cluster: 6379 } as const

interface Address {
  host: string
  port: number
}

/** What a Redis URL says. */
export interface RedisUrl {
  kind: 'single' | 'sentinel' | 'cluster'
  isTls: boolean
  /** One server, the sentinels, or some nodes of the cluster. */
  addresses: Address[]
  username: string | undefined
  password: string | undefined
  db: number
  /** Name of the primary at the sentinels. */
  primary: string | undefined
  sentinelUsername: string | undefined
  sentinelPassword: string | undefined
}

/**
 * Reads the URL of Redis:
 *
 * - `redis://user:password@host:6379/0` (`rediss://` with TLS)
 * - `redis+sentinel://user:password@host1:26379,host2:26379/<primary>/0`, where the parameters
 *   `sentinel_username` and `sentinel_password` are those of the sentinels
 * - `redis+cluster://user:password@host1:6379,host2:6379`
 */
export function parseRedisUrl(text: string): RedisUrl {
  const [scheme = '', rest = ''] = text.split(/:\/\/(.*)/s)
  const [authority = '', tail = ''] = splitAt(rest, rest.search(/[/?]/))
  const at = authority.lastIndexOf('@')
  const [username, password] = at < 0 ? [] : authority.slice(0, at).split(/:(.*)/s)
  const kind = SENTINEL.includes(scheme)
    ? 'sentinel'
    : CLUSTER.includes(scheme)
      ? 'cluster'
      : 'single'
  const [path = '', query = ''] = tail.split(/\?(.*)/s)
  const parts = path.split('/').filter(Boolean).map(decodeURIComponent)
  const parameters = new URLSearchParams(query)
  const db = kind === 'sentinel' ? parts[1] : parts[0]
  return {
    kind,
    isTls: scheme.startsWith('rediss'),
    addresses: authority
      .slice(at + 1)
      .split(',')
      .map((each) => addressOf(each, PORTS[kind])),
    username: decoded(username),
    password: decoded(password),
    // A path that is no number is ignored, as with other URLs of a single server.
    db: kind === 'single' && !/^\d+$/.test(db ?? '') ? 0 : Number(db ?? 0),
    primary: kind === 'sentinel' ? parts[0] : undefined,
    sentinelUsername: parameters.get('sentinel_username') ?? undefined,
    sentinelPassword: parameters.get('sentinel_password') ?? undefined,
  }
}

/** Returns what is wrong with a Redis URL whose hosts can be read, or undefined. */
export function findRedisProblem(text: string): string | undefined {
  const { kind, primary, db } = parseRedisUrl(text)
  if (kind === 'sentinel' && primary === undefined) {
    return 'names no primary: write redis+sentinel://host1:26379,host2:26379/<name of the primary>'
  }
  if (!Number.isInteger(db) || db < 0) return 'names a database that is not a number'
  if (kind === 'cluster' && db !== 0) return 'names a database, and a Cluster has only 0'
  return undefined
}

function addressOf(text: string, defaultPort: number): Address {
  const [, host = '', port] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(text) ?? []
  return { host: host.replace(/^\[|\]$/g, '') || '127.0.0.1', port: Number(port ?? defaultPort) }
}

function splitAt(text: string, index: number): [string, string] {
  return index < 0 ? [text, ''] : [text.slice(0, index), text.slice(index)]
}

function decoded(text: string | undefined): string | undefined {
  return text ? decodeURIComponent(text) : undefined
}
