import { Secret } from '../vault/secret.ts'
import { decodeBody } from './decode-body.ts'

/**
 * The body of a response as it arrived, with what is needed to read it. It is stored like this: a
 * decoder that fails must not lose a pair.
 */
export interface RawBody {
  /** Base64. */
  bytes: Secret
  contentEncoding: string
  charset: string
}

export function rawBodyOf(
  bytes: Buffer,
  { contentEncoding, charset }: Omit<RawBody, 'bytes'>,
): RawBody {
  return { bytes: new Secret(bytes.toString('base64')), contentEncoding, charset }
}

/** Returns the text of the body. Never throws (see `decodeBody`). */
export function decodeRawBody(body: RawBody): string {
  return decodeBody(Buffer.from(body.bytes.reveal(), 'base64'), body)
}

/** Returns what `rawBodyFromJson` reads. It holds the body and must be sealed. */
export function rawBodyToJson({ bytes, contentEncoding, charset }: RawBody) {
  return { bytes: bytes.reveal(), contentEncoding, charset }
}

export function rawBodyFromJson(json: ReturnType<typeof rawBodyToJson>): RawBody {
  return { ...json, bytes: new Secret(json.bytes) }
}
