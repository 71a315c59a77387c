import type { RedisClient } from '../db/redis.ts'
import { allCopies } from '../journal/all-copies.ts'
import type { Spool } from '../journal/spool.ts'
import { KeyMissing, SealBroken } from '../lib/errors.ts'
import { type KeyRing, keyIdOf } from '../vault/key-ring.ts'
import { spooledAt } from '../vault/sealed-places.ts'
import { add, type Resealed } from './reseal.ts'

const SWAP = `if redis.call('hget', KEYS[1], ARGV[1]) == ARGV[2] then
  redis.call('hset', KEYS[1], ARGV[1], ARGV[3]) return 1 end return 0`

/** Re-seals what is in the spool on this disk under the first key. */
export async function resealSpool(spool: Spool, keyRing: KeyRing): Promise<Resealed> {
  const done = { place: 'answers on disk', resealed: 0, unreadable: 0 }
  for (const name of spool.names()) {
    const old = await spool.read(name)
    if (old === undefined) continue
    const sealed = tryReseal(keyRing, name, old)
    if (sealed === 'unreadable') done.unreadable += 1
    else if (sealed !== undefined) {
      spool.replace(name, sealed)
      done.resealed += 1
    }
  }
  return done
}

/**
 * Re-seals the copies of responses in Redis under the first key. Skips a copy that changed
 * meanwhile.
 */
export async function resealCopies(
  redis: RedisClient,
  deploymentId: string,
  keyRing: KeyRing,
): Promise<Resealed> {
  const done = { place: 'answers in Redis', resealed: 0, unreadable: 0 }
  for await (const [key, name, old] of allCopies(redis, deploymentId)) {
    const sealed = tryReseal(keyRing, name, old)
    if (sealed === 'unreadable') done.unreadable += 1
    else if (sealed !== undefined) {
      done.resealed += Number(await redis.eval(SWAP, 1, key, name, old, sealed))
    }
  }
  return done
}

/** Adds to `counts` what is stored outside the database. */
export async function countSpooled(
  counts: Map<string, Map<string, number>>,
  spool: Spool,
  redis: RedisClient | null,
  deploymentId: string,
): Promise<void> {
  for (const name of spool.names()) {
    const sealed = await spool.read(name)
    if (sealed !== undefined) add(counts, keyIdOf(sealed), 'answers on disk', 1)
  }
  if (redis === null) return
  for await (const [, , sealed] of allCopies(redis, deploymentId)) {
    add(counts, keyIdOf(sealed), 'answers in Redis', 1)
  }
}

function tryReseal(keyRing: KeyRing, name: string, sealed: string): string | undefined {
  try {
    return keyRing.reseal(sealed, spooledAt(name))
  } catch (error) {
    if (error instanceof KeyMissing || error instanceof SealBroken) return 'unreadable'
    throw error
  }
}
