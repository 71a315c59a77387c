import { type LookupAddress, type LookupOptions, lookup } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'

type Network = readonly [network: string, prefix: number]

/** Global unicast addresses of IPv4, except what the registry of special purposes takes out. */
const UNICAST_V4: Network[] = [
  ['0.0.0.0', 1],
  ['128.0.0.0', 2],
  ['192.0.0.0', 3],
]
const SPECIAL_V4: Network[] = [
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
]
/**
 * The one block of IPv6 that is given out as global unicast (RFC 4291 §2.4), and its exceptions.
 */
const UNICAST_V6: Network[] = [['2000::', 3]]
const SPECIAL_V6: Network[] = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
]
const PRIVATE: Network[] = [
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['fc00::', 7],
]
const LOOPBACK: Network[] = [
  ['127.0.0.0', 8],
  ['::1', 128],
]
/** Where clouds serve credentials to whoever asks from inside. The first one is link-local. */
const METADATA: Network[] = [
  ['169.254.0.0', 16],
  ['fe80::', 10],
  ['168.63.129.16', 32],
  ['100.100.100.200', 32],
  ['192.0.0.192', 32],
  ['fd00:ec2::254', 128],
  ['fd20:ce::254', 128],
]

const unicast = blockOf(UNICAST_V4, UNICAST_V6)
const special = blockOf(SPECIAL_V4, SPECIAL_V6)
const privateNetworks = blockOf(PRIVATE)
const loopback = blockOf(LOOPBACK)
const metadata = blockOf(METADATA)

/**
 * Returns true for a global unicast address. Of an address that embeds one of IPv4 (IPv4-mapped, or
 * NAT64's well-known prefix, RFC 6052), the embedded one is judged.
 */
export function isPublicAddress(address: string): boolean {
  const bare = unwrap(address)
  if (bare === undefined || isIn(metadata, bare)) return false
  return isIn(unicast, bare) && !isIn(special, bare)
}

/**
 * Returns true for an address where a sandbox may be: this machine or the public internet, or a
 * private network if the settings name it. Link-local addresses and those of cloud metadata are
 * never allowed.
 */
export function isSandboxAddress(address: string, mayBePrivate: boolean): boolean {
  const bare = unwrap(address)
  if (bare === undefined || isIn(metadata, bare)) return false
  if (isIn(loopback, bare) || isPublicAddress(bare)) return true
  return mayBePrivate && isIn(privateNetworks, bare)
}

/** The error code of a connection that was refused for its address; nothing was written. */
export const NOT_PUBLIC_CODE = 'ADDRESS_NOT_PUBLIC'

/**
 * Returns a function that resolves a host for `net.connect`, and fails when any of its addresses is
 * not allowed. The connection uses the address that was checked, so a name that resolves
 * differently the second time gains nothing.
 */
export function lookupOf(isAllowed: (address: string) => boolean): LookupFunction {
  return (hostname, options, done) => {
    const wanted: LookupOptions & { all: true } = { ...options, all: true }
    lookup(hostname, wanted, (error, addresses: LookupAddress[]) => {
      if (error !== null) return done(error, [])
      const [first] = addresses
      if (first === undefined || !addresses.every(({ address }) => isAllowed(address))) {
        const refused = new Error('the host has an address that is not public')
        return done(Object.assign(refused, { code: NOT_PUBLIC_CODE }), [])
      }
      return options.all ? done(null, addresses) : done(null, first.address, first.family)
    })
  }
}

export const publicLookup: LookupFunction = lookupOf(isPublicAddress)

function blockOf(...lists: Network[][]): BlockList {
  const block = new BlockList()
  for (const [network, prefix] of lists.flat()) {
    block.addSubnet(network, prefix, network.includes(':') ? 'ipv6' : 'ipv4')
  }
  return block
}

function isIn(block: BlockList, address: string): boolean {
  return block.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
}

/**
 * Returns the embedded IPv4 address, or the address itself.
 *
 * @returns `undefined` when it is no address, or has a zone
 */
function unwrap(address: string): string | undefined {
  const version = isIP(address)
  if (version === 4) return address
  const hostname = version === 6 ? URL.parse(`http://[${address}]`)?.hostname : undefined
  const canonical = hostname?.slice(1, -1)
  if (canonical === undefined) return undefined
  const embedded = /^(?:::ffff:|64:ff9b::)(?:([0-9a-f]{1,4}):)?([0-9a-f]{1,4})$/.exec(canonical)
  if (embedded !== null) return dotted(embedded[1] ?? '0', embedded[2] ?? '0')
  // 64:ff9b:: itself embeds 0.0.0.0.
  return canonical === '64:ff9b::' ? '0.0.0.0' : canonical
}

function dotted(high: string, low: string): string {
  const value = [Number.parseInt(high, 16), Number.parseInt(low, 16)]
  return value.flatMap((group) => [group >> 8, group & 0xff]).join('.')
}
