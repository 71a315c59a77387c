import { pairFromJson, readKept } from '../../../src/refresh/answer.ts'
import { openKept, parseKeptName } from '../../../src/refresh/kept-name.ts'
import { parkedAt } from '../../../src/refresh/parking.ts'
import type { KeyRing } from '../../../src/vault/key-ring.ts'
import { KEY } from '../engine.ts'
import type { Lane } from './lane.ts'
import type { RedisData } from './model-stores.ts'

/** The refresh token of a kept answer; undefined when it holds none. */
export function keptToken(keyRing: KeyRing, text: string, sealed: string): string | undefined {
  const name = parseKeptName(text)
  const kept = name && openKept(keyRing, name, sealed)
  return kept && readKept(kept)?.pair.refreshToken.reveal()
}

export function keptTokens(keyRing: KeyRing, files: Iterable<[string, string]>): Set<string> {
  const tokens = [...files].map(([text, sealed]) => keptToken(keyRing, text, sealed))
  return new Set(tokens.filter((token) => token !== undefined))
}

export function redisFiles({ answers }: RedisData): [string, string][] {
  return [...answers.values()].flatMap((own) => [...own])
}

export interface Parked {
  token: string
  /** It could be committed: the row is at the pair that it came of. */
  fits: boolean
}

export async function parkedPairs({ control, config }: Lane): Promise<Parked[]> {
  const { rows } = await control.query(
    `select a.generation, a."parkedPair", t.generation is not null as fits
     from amo_refresh_attempts a left join amo_tokens t on t."accountId" = a."accountId"
       and t.generation = a.generation and t."refreshTokenFingerprint" = a."refreshTokenFingerprint"
     where a."parkedPair" is not null`,
  )
  return rows.map(({ generation, parkedPair, fits }) => {
    const sealedAt = parkedAt({ ...KEY, generation })
    const pair = pairFromJson(config.keyRing.open(parkedPair, sealedAt).reveal())
    return { token: pair.refreshToken.reveal(), fits }
  })
}
