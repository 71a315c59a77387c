import type { AccountKey } from '../lib/account-key.ts'
import type { JournaledResponse } from '../pairs/received-pair.ts'
import { rawBodyFromJson, rawBodyToJson } from '../provider/raw-body.ts'
import type { SpoolFormat } from './sealed-spool.ts'

const KIND = 'refresh'

/** What a journaled response can be found by without opening it. */
export interface ResponseName extends AccountKey {
  generation: number
  attemptId: number
}

/** Returns the name of the file, and of the copy in Redis. */
export function nameText({ integration, accountId, generation, attemptId }: ResponseName): string {
  return [KIND, integration, accountId, generation, attemptId].join('~')
}

/** @returns undefined when it is the name of something else. */
export function parseResponseName(name: string): ResponseName | undefined {
  const [kind, integration = '', ...numbers] = name.split('~')
  const [accountId = 0, generation = 0, attemptId = 0] = numbers.map(Number)
  if (kind !== KIND || numbers.length !== 3) return undefined
  return { integration, accountId, generation, attemptId }
}

/** A response to a refresh with its own fence (R8). */
export const RESPONSE_FORMAT: SpoolFormat<JournaledResponse> = {
  prefix: `${KIND}~`,
  encode: ({ fingerprint, sentAtMs, body }) =>
    JSON.stringify({ fingerprint, sentAtMs, body: rawBodyToJson(body) }),
  decode(text, value) {
    const name = parseResponseName(text)
    if (name === undefined) throw new Error(`${text} is not the name of a response`)
    const { fingerprint, sentAtMs, body } = JSON.parse(value)
    return { ...name, fingerprint, sentAtMs, body: rawBodyFromJson(body) }
  },
}
