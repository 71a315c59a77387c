import { isIP } from 'node:net'
import { isPublicAddress, isSandboxAddress } from '../lib/public-lookup.ts'

/**
 * Returns true for an address that messages may be sent to: a public one, or one of a private
 * network and of this machine if the settings allow them. Link-local addresses and those of cloud
 * metadata are never allowed. Plain http is allowed to private addresses only.
 */
export function isAllowedAddress(url: URL, address: string, mayBePrivate: boolean): boolean {
  const isPublic = isPublicAddress(address)
  if (!mayBePrivate) return isPublic && url.protocol === 'https:'
  return isSandboxAddress(address, true) && (url.protocol === 'https:' || !isPublic)
}

/** Returns false for a host that is a forbidden address. A name is checked when it is resolved. */
export function isAllowedHost(url: URL, mayBePrivate: boolean): boolean {
  if (url.protocol === 'http:' && !mayBePrivate) return false
  const address = bareHost(url)
  return isIP(address) === 0 || isAllowedAddress(url, address, mayBePrivate)
}

/** Returns the host without the brackets of an IPv6 address. */
export function bareHost({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, '')
}
