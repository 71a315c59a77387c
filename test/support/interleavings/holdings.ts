import { parseResponseName, RESPONSE_FORMAT } from '../../../src/journal/response-name.ts'
import { openAs } from '../../../src/journal/sealed-spool.ts'
import { pairFromJson, pairOfResponse } from '../../../src/pairs/received-pair.ts'
import type { KeyRing } from '../../../src/vault/key-ring.ts'
import { parkedAt } from '../../../src/vault/sealed-places.ts'
import { KEY } from '../engine.ts'
import type { Lane } from './lane.ts'
import type { RedisData } from './model-stores.ts'

/** @returns the refresh token of a journaled response, or undefined when it has none. */
function journaledToken(keyRing: KeyRing, text: string, sealed: string): string | undefined {
  if (parseResponseName(text) === undefined) return undefined
  const response = openAs(keyRing, RESPONSE_FORMAT, text, sealed)
  return response && pairOfResponse(response)?.pair.refreshToken.reveal()
}

export function journaledTokens(keyRing: KeyRing, files: Iterable<[string, string]>): Set<string> {
  const tokens = [...files].map(([text, sealed]) => journaledToken(keyRing, text, sealed))
  return new Set(tokens.filter((token) => token !== undefined))
}

export function redisFiles({ answers }: RedisData): [string, string][] {
  return [...answers.values()].flatMap((own) => [...own])
}

export interface Parked {
  token: string
  /** It could be committed, because the row has the token that it came of. */
  fits: boolean
}

export async function parkedPairs({ control, config }: Lane): Promise<Parked[]> {
  const { rows } = await control.query(
    `select a.generation, a."parkedPair", t."accountId" is not null as fits
     from amo_refresh_attempts a left join amo_tokens t on t."accountId" = a."accountId"
       and t."refreshTokenFingerprint" = a."refreshTokenFingerprint"
     where a."parkedPair" is not null`,
  )
  return rows.map(({ generation, parkedPair, fits }) => {
    const sealedAt = parkedAt({ ...KEY, generation })
    const pair = pairFromJson(config.keyRing.open(parkedPair, sealedAt).reveal())
    return { token: pair.refreshToken.reveal(), fits }
  })
}
