import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'

export interface Certificate {
  /** PEM. */
  key: string
  cert: string
  /** PEM of the authority that signed it. Clients must trust this authority. */
  ca: string
}

const DAY_MS = 86_400_000
const VALID_DAYS = 365
const NAMES = ['localhost', '*.amocrm.ru', '*.kommo.com', '*.amocrm.com', 'amocrm.ru', 'kommo.com']

/**
 * Makes an authority and a certificate for localhost, 127.0.0.1 and all hosts of both platforms.
 * Discards the authority's key, so that it can never sign anything else.
 */
export function makeCertificate(nowMs: number): Certificate {
  const authority = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const server = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const times = [nowMs - DAY_MS, nowMs + VALID_DAYS * DAY_MS] as const
  const issuer = name('amo-sandbox authority')
  const names = NAMES.map((each) => tagged(0x82, Buffer.from(each, 'ascii')))
  const ips = [tagged(0x87, Buffer.from([127, 0, 0, 1]))]
  const sign = (subject: Buffer, key: KeyObject, extensions: Buffer[]) =>
    signed({ issuer, subject, times, key, extensions, signer: authority.privateKey })
  return {
    key: server.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: sign(name('amo-sandbox'), server.publicKey, [
      extension('551d11', sequence(...names, ...ips)),
      extension('551d25', sequence(oid('2b06010505070301'))),
    ]),
    ca: sign(issuer, authority.publicKey, [
      // Critical: the certificate belongs to an authority that may not sign another authority.
      extension(
        '551d13',
        sequence(tagged(0x01, Buffer.from([0xff])), integer(Buffer.from([0]))),
        true,
      ),
      extension('551d0f', tagged(0x03, Buffer.from([2, 0x04])), true),
    ]),
  }
}

interface Unsigned {
  issuer: Buffer
  subject: Buffer
  times: readonly [fromMs: number, untilMs: number]
  key: KeyObject
  extensions: Buffer[]
  signer: KeyObject
}

// X.509 in DER (RFC 5280 §4.1), because Node reads certificates but makes none.

function signed({ issuer, subject, times, key, extensions, signer }: Unsigned): string {
  const algorithm = sequence(oid('2a8648ce3d040302'))
  const serial = Buffer.concat([Buffer.from([0x40]), randomBytes(15)])
  const body = sequence(
    tagged(0xa0, integer(Buffer.from([2]))),
    integer(serial),
    algorithm,
    issuer,
    sequence(...times.map(time)),
    subject,
    key.export({ type: 'spki', format: 'der' }),
    tagged(0xa3, sequence(...extensions, extension('551d0e', keyId(key)))),
  )
  const signature = tagged(0x03, Buffer.concat([Buffer.from([0]), sign('sha256', body, signer)]))
  const text = sequence(body, algorithm, signature).toString('base64')
  return `-----BEGIN CERTIFICATE-----\n${text.replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`
}

function keyId(key: KeyObject): Buffer {
  const digest = createHash('sha1')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest()
  return tagged(0x04, digest)
}

function extension(id: string, value: Buffer, isCritical = false): Buffer {
  const critical = isCritical ? [tagged(0x01, Buffer.from([0xff]))] : []
  return sequence(oid(id), ...critical, tagged(0x04, value))
}

function name(commonName: string): Buffer {
  const text = tagged(0x0c, Buffer.from(commonName, 'utf8'))
  return sequence(tagged(0x31, sequence(oid('550403'), text)))
}

/** Encodes a UTCTime, which is valid until 2049. */
function time(atMs: number): Buffer {
  const digits = new Date(atMs).toISOString().replace(/\D/g, '').slice(2, 14)
  return tagged(0x17, Buffer.from(`${digits}Z`, 'ascii'))
}

function oid(hex: string): Buffer {
  return tagged(0x06, Buffer.from(hex, 'hex'))
}

function integer(bytes: Buffer): Buffer {
  return tagged(0x02, bytes)
}

function sequence(...parts: Buffer[]): Buffer {
  return tagged(0x30, Buffer.concat(parts))
}

function tagged(tag: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([tag]), lengthOf(content.length), content])
}

function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length])
  if (length < 0x100) return Buffer.from([0x81, length])
  return Buffer.from([0x82, length >> 8, length & 0xff])
}
