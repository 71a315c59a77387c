import { findTlsProblem } from './connection-settings.ts'
import { CLUSTER, findRedisProblem, SENTINEL } from './redis-url.ts'

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]'])

/** Checks a URL of the web. Plain http is accepted for loopback only. Never repeats the value. */
export function checkWebUrl(name: string, text: string, problems: string[]): void {
  if (!text) return
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol)) {
    problems.push(`${name} must be a URL that starts with http:// or https://`)
  } else if (url.protocol === 'http:' && !LOOPBACK.has(url.hostname)) {
    problems.push(`${name} must be https: plain http is accepted for localhost only`)
  }
}

const POSTGRES = ['postgres', 'postgresql']
const REDIS = ['redis', 'rediss', ...SENTINEL, ...CLUSTER]

/**
 * Checks the URL of PostgreSQL, such as `postgres://user:password@host:5432/database`. Never
 * repeats the value, because it holds a password.
 */
export function checkDatabaseUrl(name: string, text: string, problems: string[]): void {
  if (!text) return
  const problem = findServerUrlProblem(text, POSTGRES, false) ?? findTlsProblem(text)
  if (problem !== undefined) problems.push(`${name} ${problem}`)
}

/**
 * Checks the place of the escrow: a directory, a second PostgreSQL, or a bucket. Never repeats the
 * value, because it may hold a password.
 */
export function checkEscrowUrl(name: string, text: string, problems: string[]): void {
  if (!text) return
  if (POSTGRES.some((scheme) => text.startsWith(`${scheme}://`))) {
    checkDatabaseUrl(name, text, problems)
    return
  }
  const url = URL.parse(text)
  const isDirectory = url?.protocol === 'file:' && url.host === '' && url.pathname !== '/'
  const isBucket = url?.protocol === 's3:' && url.hostname !== ''
  if (isDirectory || isBucket) return
  problems.push(
    `${name} must be file:///directory, postgres://user:password@host:port/database or s3://bucket/prefix`,
  )
}

/** Checks the URL of Redis. Sentinel and Cluster may have several hosts. */
export function checkRedisUrl(name: string, text: string, problems: string[]): void {
  if (!text) return
  const isGroup = [...SENTINEL, ...CLUSTER].some((scheme) => text.startsWith(`${scheme}://`))
  const problem = findServerUrlProblem(text, REDIS, isGroup) ?? findRedisProblem(text)
  if (problem !== undefined) problems.push(`${name} ${problem}`)
}

function findServerUrlProblem(
  text: string,
  schemes: readonly string[],
  mayListHosts: boolean,
): string | undefined {
  const scheme = schemes.find((each) => text.startsWith(`${each}://`))
  if (scheme === undefined) {
    const starts = schemes.map((each) => `${each}://`).join(' or ')
    return `must be a URL that starts with ${starts}, followed by user:password@host:port`
  }
  const rest = text.slice(scheme.length + '://'.length)
  const hosts = rest.slice(rest.lastIndexOf('@') + 1).split('/')[0] ?? ''
  if (hosts.includes(',') && !mayListHosts) {
    return 'names several hosts, and one is supported: name the proxy or DNS name that leads to the primary'
  }
  // A URL parser takes no list of hosts, and no user without a host (a socket).
  const one = text.replace(hosts, hosts.split(',')[0] ?? '')
  const url = URL.parse(one.replace('@/', '@socket/'))
  if (url === null || isCutShort(url)) {
    return 'cannot be read: percent-encode # / ? @ : % and blanks in user and password (# is %23, / is %2F)'
  }
  const hasHost = url.hostname && !text.includes('@/')
  return hasHost || url.searchParams.has('host') ? undefined : 'names no host'
}

/**
 * A bare `#`, `/` or `?` ends the authority: the user name becomes the host, and `@` comes later.
 */
function isCutShort({ hash, pathname, search, username, password }: URL): boolean {
  if (hash || pathname.includes('@')) return true
  return search.includes('@') && !username && !password
}

/**
 * Returns the origin of a URL; the empty string for a text that is none, which a check has named.
 */
export function originOf(text: string): string {
  return URL.parse(text)?.origin ?? ''
}
