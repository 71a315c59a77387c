import { PROFILES, PROVIDER_NAMES, type ProviderName } from '../provider/profile-table.ts'

export type Platform = ProviderName

/**
 * The party that a request addresses, read from its `Host` header. The sandbox serves all of them
 * at one address.
 */
export type Host =
  | { kind: 'account'; platform: Platform; subdomain: string; name: string }
  | { kind: 'api'; platform: Platform; name: string }
  | { kind: 'site'; platform: Platform; name: string }
  | { kind: 'loopback'; name: string }
  | { kind: 'unknown'; name: string }

/** A domain whose subdomains are accounts. */
export type Zone = (typeof PROFILES)[ProviderName]['zones'][number]

export const ZONES: ReadonlyMap<string, Platform> = new Map(
  PROVIDER_NAMES.flatMap((name) => PROFILES[name].zones.map((zone) => [zone, name] as const)),
)
const LOOPBACK = new Set(['127.0.0.1', 'localhost', '[::1]', '::1'])

/**
 * Reads a `Host` header; never throws.
 *
 * @example parseHost('demo.amocrm.com:3002') // { kind: 'account', platform: 'kommo', … }
 */
export function parseHost(header: string | undefined): Host {
  const name = (header ?? '').toLowerCase().replace(/:\d+$/, '')
  if (LOOPBACK.has(name)) return { kind: 'loopback', name }
  const zone = [...ZONES.keys()].find((each) => name === each || name.endsWith(`.${each}`))
  const platform = ZONES.get(zone ?? '')
  if (zone === undefined || platform === undefined) return { kind: 'unknown', name }
  const label = name === zone ? undefined : name.slice(0, -zone.length - 1)
  if (label !== undefined && !/^[a-z0-9-]+$/.test(label)) return { kind: 'unknown', name }
  if (label === undefined || label === 'www') return { kind: 'site', platform, name }
  if (/^api(-[a-z0-9]+)?$/.test(label)) return { kind: 'api', platform, name }
  return { kind: 'account', platform, subdomain: label, name }
}

/** Returns whether a URL leads to this machine. The sandbox calls no other host. */
export function isLoopback(url: string): boolean {
  return URL.canParse(url) && LOOPBACK.has(new URL(url).hostname)
}
