import { type LookupAddress, type LookupOptions, lookup } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'

/** What no provider has: this machine, private networks, link-local (a cloud's metadata), test and reserved ranges. */
const NOT_PUBLIC: [network: string, prefix: number][] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
  ['::', 96],
  ['64:ff9b::', 96],
  ['64:ff9b:1::', 48],
  ['100::', 64],
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['fc00::', 7],
  ['fe80::', 10],
  ['fec0::', 10],
  ['ff00::', 8],
]

const notPublic = new BlockList()
for (const [network, prefix] of NOT_PUBLIC) {
  notPublic.addSubnet(network, prefix, network.includes(':') ? 'ipv6' : 'ipv4')
}

/** Whether an address is one of the public internet; an IPv4 address in IPv6's clothes is judged as what it is. */
export function isPublicAddress(address: string): boolean {
  const version = isIP(address)
  if (version === 0) return false
  return !notPublic.check(address, version === 6 ? 'ipv6' : 'ipv4')
}

/** How a failed connection is told from the others: nothing was written. */
export const NOT_PUBLIC_CODE = 'ADDRESS_NOT_PUBLIC'

/**
 * For `net.connect`: resolves a host, and fails when any of its addresses is not public. The address that is judged is the one
 * that is connected to, so that a name which answers differently the second time gains nothing.
 */
export const publicLookup: LookupFunction = (hostname, options, done) => {
  const wanted: LookupOptions & { all: true } = { ...options, all: true }
  lookup(hostname, wanted, (error, addresses: LookupAddress[]) => {
    if (error !== null) return done(error, [])
    const [first] = addresses
    if (first === undefined || !addresses.every(({ address }) => isPublicAddress(address))) {
      const refused = new Error('the host has an address that is not public')
      return done(Object.assign(refused, { code: NOT_PUBLIC_CODE }), [])
    }
    return options.all ? done(null, addresses) : done(null, first.address, first.family)
  })
}
