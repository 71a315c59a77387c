import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import pg from 'pg'
import { tokenAt } from '../../src/accounts/sealed-tokens.ts'
import { TokenSchema } from '../../src/tokens/schemas.ts'
import { KeyRing } from '../../src/vault/key-ring.ts'
import { answerOf, COLUMNS, type Row } from './answer-of.ts'

/**
 * Side 5: a lock on every read, so that none meets a refresh, the pattern of the largest open peer. A request is a lock in Redis, two
 * selects (the integration's settings, the account), an open, and the lock's end; no key, no log.
 */
const LOCK_SECONDS = 10
const AGAIN_MS = 2

pg.types.setTypeParser(pg.types.builtins.INT8, Number)
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 })
const redis = new Redis(process.env.REDIS_URL ?? '')
const keyRing = KeyRing.parse(process.env.ENCRYPTION_KEYS ?? '')
const app = Fastify()
app.get('/ready', async () => 'ready')
app.get<{ Params: { account: string } }>('/tokens/:account', {
  schema: { response: { 200: TokenSchema } },
  handler: async (request, reply) => {
    const { account } = request.params
    const lock = `bench:lock:${account}`
    const me = randomUUID()
    while ((await redis.set(lock, me, 'EX', LOCK_SECONDS, 'NX')) === null) await delay(AGAIN_MS)
    try {
      const { rows } = await pool.query<Row>({
        name: 'token',
        text: `select ${COLUMNS} from amo_tokens where domain = $1`,
        values: [account],
      })
      const [row] = rows
      if (row === undefined) return reply.code(404).send()
      await pool.query({
        name: 'integration',
        text: 'select provider, "clientId", "redirectUri" from amo_integrations where name = $1',
        values: [row.integration],
      })
      return answerOf(row, keyRing.open(row.accessToken, tokenAt(row, 'accessToken')))
    } finally {
      await redis.del(lock)
    }
  },
})
await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
