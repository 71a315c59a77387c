import { setTimeout as delay } from 'node:timers/promises'
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import { TokenSchema } from '../../src/contract/tokens.ts'
import { findRow, pool, tokenResponseOf } from './stored-tokens.ts'

const LOCK_SECONDS = 10
const AGAIN_MS = 2

/**
 * Side 5: locks on every read, so that no read meets a refresh. This is the pattern of the largest
 * open-source peer. A request takes a lock in Redis, makes two selects (the account, the
 * integration's settings) and one decryption, and releases the lock; no key, no log.
 */
const redis = new Redis(process.env.REDIS_URL ?? '')
const app = Fastify()
app.get('/health/live', async () => 'ready')
app.get<{ Params: { account: string } }>('/tokens/:account', {
  schema: { response: { 200: TokenSchema } },
  handler: async (request, reply) => {
    const { account } = request.params
    const lock = `bench:lock:${account}`
    while ((await redis.set(lock, '1', 'EX', LOCK_SECONDS, 'NX')) === null) await delay(AGAIN_MS)
    try {
      const row = await findRow(account)
      if (row === undefined) return reply.code(404).send()
      await pool.query({
        name: 'integration',
        text: 'select provider, "clientId", "redirectUri" from amo_integrations where name = $1',
        values: [row.integration],
      })
      return tokenResponseOf(row)
    } finally {
      await redis.del(lock)
    }
  },
})
await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
