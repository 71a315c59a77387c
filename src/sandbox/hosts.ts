export type Platform = 'amocrm' | 'kommo'

/** Who is spoken to, told by the `Host` header alone: the sandbox has one address for all of them. */
export type Host =
  | { kind: 'account'; platform: Platform; subdomain: string; name: string }
  | { kind: 'api'; platform: Platform; name: string }
  | { kind: 'site'; platform: Platform; name: string }
  | { kind: 'loopback'; name: string }
  | { kind: 'unknown'; name: string }

const ZONES: Record<string, Platform> = {
  'amocrm.ru': 'amocrm',
  'kommo.com': 'kommo',
  'amocrm.com': 'kommo',
}
const LOOPBACK = new Set(['127.0.0.1', 'localhost', '[::1]', '::1'])

/**
 * Reads a `Host` header; never throws.
 *
 * @example parseHost('demo.amocrm.com:3002') // { kind: 'account', platform: 'kommo', … }
 */
export function parseHost(header: string | undefined): Host {
  const name = (header ?? '').toLowerCase().replace(/:\d+$/, '')
  if (LOOPBACK.has(name)) return { kind: 'loopback', name }
  const match = /^(?:([a-z0-9-]+)\.)?(amocrm\.ru|kommo\.com|amocrm\.com)$/.exec(name)
  const platform = ZONES[match?.[2] ?? '']
  if (platform === undefined) return { kind: 'unknown', name }
  const label = match?.[1]
  if (label === undefined || label === 'www') return { kind: 'site', platform, name }
  if (/^api(-[a-z0-9]+)?$/.test(label)) return { kind: 'api', platform, name }
  return { kind: 'account', platform, subdomain: label, name }
}

/** Tells whether a URL leads to this machine; the sandbox calls nobody else. */
export function isLoopback(url: string): boolean {
  return URL.canParse(url) && LOOPBACK.has(new URL(url).hostname)
}
