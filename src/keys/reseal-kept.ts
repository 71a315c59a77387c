import type { Redis } from 'ioredis'
import type { Spool } from '../db/spool.ts'
import { KeyMissing, SealBroken } from '../errors.ts'
import { type KeyRing, keyIdOf, type SealedAt } from '../vault/key-ring.ts'
import { add, type Resealed } from './reseal.ts'

const SCAN_COUNT = 200
const SWAP = `if redis.call('hget', KEYS[1], ARGV[1]) == ARGV[2] then
  redis.call('hset', KEYS[1], ARGV[1], ARGV[3]) return 1 end return 0`

/** The sealed place of an answer that is kept under this name, on disk and in Redis alike. */
function keptAt(name: string): SealedAt {
  return { table: 'spool', row: name, column: 'answer', generation: 0 }
}

/** Moves the answers on this disk to the first key. */
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

/** Moves the copies of answers in Redis to the first key; one that changed meanwhile is left alone. */
export async function resealCopies(
  redis: Redis,
  deploymentId: string,
  keyRing: KeyRing,
): Promise<Resealed> {
  const done = { place: 'answers in Redis', resealed: 0, unreadable: 0 }
  for await (const [key, name, old] of copiesOf(redis, deploymentId)) {
    const sealed = tryReseal(keyRing, name, old)
    if (sealed === 'unreadable') done.unreadable += 1
    else if (sealed !== undefined) {
      done.resealed += Number(await redis.eval(SWAP, 1, key, name, old, sealed))
    }
  }
  return done
}

/** Adds to `counts` what lies outside of the database. */
export async function countKept(
  counts: Map<string, Map<string, number>>,
  spool: Spool,
  redis: Redis | null,
  deploymentId: string,
): Promise<void> {
  for (const name of spool.names()) {
    const sealed = await spool.read(name)
    if (sealed !== undefined) add(counts, keyIdOf(sealed), 'answers on disk', 1)
  }
  if (redis === null) return
  for await (const [, , sealed] of copiesOf(redis, deploymentId)) {
    add(counts, keyIdOf(sealed), 'answers in Redis', 1)
  }
}

async function* copiesOf(
  redis: Redis,
  deploymentId: string,
): AsyncGenerator<[key: string, name: string, sealed: string]> {
  // A glob's own characters may stand in a deployment's name.
  const literal = `amo:${deploymentId}:kept:`.replace(/[\\*?[\]^-]/g, '\\$&')
  let cursor = '0'
  do {
    const [next, keys] = await redis.scan(cursor, 'MATCH', `${literal}*`, 'COUNT', SCAN_COUNT)
    for (const key of keys) {
      for (const [name, sealed] of Object.entries(await redis.hgetall(key)))
        yield [key, name, sealed]
    }
    cursor = next
  } while (cursor !== '0')
}

function tryReseal(keyRing: KeyRing, name: string, sealed: string): string | undefined {
  try {
    return keyRing.reseal(sealed, keptAt(name))
  } catch (error) {
    if (error instanceof KeyMissing || error instanceof SealBroken) return 'unreadable'
    throw error
  }
}
