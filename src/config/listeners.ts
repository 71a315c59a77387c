import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { Secret } from '../vault/secret.ts'
import type { Settings } from './settings.ts'

/** Fastify's option: no proxy, the number of proxies in front, or their addresses. */
export type TrustProxy = false | number | string[]

/** The certificates of the internal listener. */
export interface InternalTls {
  cert: string
  key: Secret
  /** Null: clients need no certificate. */
  clientCa: string | null
}

/**
 * Reads which proxies are trusted. "All" is refused: the leftmost address of X-Forwarded-For is
 * what the caller wrote, so limits by address would have no effect.
 */
export function readTrustProxy({ TRUST_PROXY }: Settings, problems: string[]): TrustProxy {
  if (TRUST_PROXY === 'false') return false
  if (TRUST_PROXY === 'true') return 1
  if (/^[1-9]$/.test(TRUST_PROXY)) return Number(TRUST_PROXY)
  const addresses = TRUST_PROXY.split(',').map((each) => each.trim())
  if (addresses.every(isNetwork)) return addresses
  problems.push(
    'TRUST_PROXY must be false, true (one proxy), the number of proxies, or their addresses, separated by commas',
  )
  return false
}

function isNetwork(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/')
  const version = isIP(address)
  if (version === 0 || rest.length > 0) return false
  if (prefix === undefined) return true
  return /^\d{1,3}$/.test(prefix) && Number(prefix) <= (version === 4 ? 32 : 128)
}

/**
 * Reads the files that the settings name. A file that cannot be read is a problem of its setting.
 */
export function readInternalTls(read: Settings, problems: string[]): InternalTls | null {
  const { INTERNAL_TLS_CERT, INTERNAL_TLS_KEY, INTERNAL_TLS_CLIENT_CA } = read
  if (!INTERNAL_TLS_CERT && !INTERNAL_TLS_KEY && !INTERNAL_TLS_CLIENT_CA) return null
  if (!INTERNAL_TLS_CERT || !INTERNAL_TLS_KEY) {
    problems.push('INTERNAL_TLS_CERT and INTERNAL_TLS_KEY belong together: set both, or neither')
    return null
  }
  const pem = (name: 'INTERNAL_TLS_CERT' | 'INTERNAL_TLS_KEY' | 'INTERNAL_TLS_CLIENT_CA') => {
    try {
      const text = readFileSync(read[name], 'utf8')
      if (text.includes('-----BEGIN ')) return text
      problems.push(`${name} names a file that is no PEM`)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      problems.push(`${name} names a file that cannot be read: ${code}`)
    }
    return ''
  }
  return {
    cert: pem('INTERNAL_TLS_CERT'),
    key: new Secret(pem('INTERNAL_TLS_KEY')),
    clientCa: INTERNAL_TLS_CLIENT_CA ? pem('INTERNAL_TLS_CLIENT_CA') : null,
  }
}
