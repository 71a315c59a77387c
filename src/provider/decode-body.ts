import {
  brotliDecompressSync,
  constants,
  gunzipSync,
  inflateRawSync,
  inflateSync,
  zstdDecompressSync,
} from 'node:zlib'

/** Responses of the provider that the broker reads take a few KB; a page of leads takes more. */
export const MAX_TEXT_BYTES = 256 * 1024
/**
 * A response that is larger than this after decompression is cut off: 256 KB can expand to 250 MB.
 */
const MAX_DECOMPRESSED_BYTES = 4 * 1024 * 1024
/** Proxies stack two at most. */
const MAX_CODINGS = 3

type Decompress = (bytes: Buffer) => Buffer

/** `finishFlush` returns the part that arrived when the connection broke off. */
const zlibOptions = {
  maxOutputLength: MAX_DECOMPRESSED_BYTES,
  finishFlush: constants.Z_SYNC_FLUSH,
}

const DECOMPRESS: ReadonlyMap<string, Decompress> = new Map([
  ['gzip', (bytes) => gunzipSync(bytes, zlibOptions)],
  ['x-gzip', (bytes) => gunzipSync(bytes, zlibOptions)],
  ['deflate', inflate],
  [
    'br',
    (bytes) =>
      brotliDecompressSync(bytes, {
        maxOutputLength: MAX_DECOMPRESSED_BYTES,
        finishFlush: constants.BROTLI_OPERATION_FLUSH,
      }),
  ],
  [
    'zstd',
    (bytes) =>
      zstdDecompressSync(bytes, {
        maxOutputLength: MAX_DECOMPRESSED_BYTES,
        finishFlush: constants.ZSTD_e_flush,
      }),
  ],
])

/**
 * Turns the bytes of a response into text: removes each content coding (RFC 9110 §8.4.1), then
 * decodes the charset. Synchronous, so that a response is kept in the tick that read it. Never
 * throws and never returns more than `MAX_TEXT_BYTES` bytes' worth: what cannot be decompressed is
 * returned as it came, one character for each byte, so that no byte is lost.
 */
export function decodeBody(
  bytes: Buffer,
  { contentEncoding, charset }: { contentEncoding: string; charset: string },
): string {
  const codings = contentEncoding
    .toLowerCase()
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '' && each !== 'identity')
    .slice(0, MAX_CODINGS)
    .reverse()
  let decoded = bytes
  for (const coding of codings) {
    const next = decompress(decoded, coding)
    // Proxies have been seen to decompress a body and leave the header: such a body is text
    // already.
    if (next === undefined)
      return looksLikeText(decoded) ? toText(decoded, charset) : toBytes(decoded)
    decoded = next
  }
  return toText(decoded, charset)
}

/** @returns `undefined` when the coding is unknown or the bytes are not of this coding. */
function decompress(bytes: Buffer, coding: string): Buffer | undefined {
  const attempt = DECOMPRESS.get(coding)
  if (attempt === undefined) return undefined
  // What is too large, or is damaged further back, is read up to there: half as much at each
  // attempt.
  for (let length = bytes.length; length > 0; length = Math.floor(length / 2)) {
    try {
      const decoded = attempt(bytes.subarray(0, length))
      if (decoded.length > 0) return decoded
    } catch {
      // The next attempt reads less.
    }
  }
  return bytes.length === 0 ? bytes : undefined
}

/** `deflate` means zlib's format; some servers send the bare stream instead (RFC 9110 §8.4.1.2). */
function inflate(bytes: Buffer): Buffer {
  try {
    return inflateSync(bytes, zlibOptions)
  } catch {
    return inflateRawSync(bytes, zlibOptions)
  }
}

function looksLikeText(bytes: Buffer): boolean {
  return /^\s*[{[<]/.test(bytes.subarray(0, 64).toString('latin1'))
}

function toText(bytes: Buffer, charset: string): string {
  const part = bytes.subarray(0, MAX_TEXT_BYTES)
  try {
    return new TextDecoder(markOf(part) ?? (charset || 'utf-8')).decode(part)
  } catch {
    return new TextDecoder('utf-8').decode(part)
  }
}

function toBytes(bytes: Buffer): string {
  return bytes.subarray(0, MAX_TEXT_BYTES).toString('latin1')
}

/** A byte order mark decides before the header does (WHATWG Encoding §6). */
function markOf(bytes: Buffer): string | undefined {
  const mark = bytes.subarray(0, 2).toString('hex')
  if (mark === 'fffe') return 'utf-16le'
  return mark === 'feff' ? 'utf-16be' : undefined
}
