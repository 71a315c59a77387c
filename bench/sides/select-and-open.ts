import Fastify from 'fastify'
import pg from 'pg'
import { tokenAt } from '../../src/accounts/sealed-tokens.ts'
import { TokenSchema } from '../../src/tokens/schemas.ts'
import { KeyRing } from '../../src/vault/key-ring.ts'
import { answerOf, COLUMNS, type Row } from './answer-of.ts'

/** Side 4: what a team writes itself. A request is one prepared select and one AES-GCM open; no key, no log. */
pg.types.setTypeParser(pg.types.builtins.INT8, Number)
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 })
const keyRing = KeyRing.parse(process.env.ENCRYPTION_KEYS ?? '')
const app = Fastify()
app.get('/ready', async () => 'ready')
app.get<{ Params: { account: string } }>('/tokens/:account', {
  schema: { response: { 200: TokenSchema } },
  handler: async (request, reply) => {
    const { rows } = await pool.query<Row>({
      name: 'token',
      text: `select ${COLUMNS} from amo_tokens where domain = $1`,
      values: [request.params.account],
    })
    const [row] = rows
    if (row === undefined) return reply.code(404).send()
    return answerOf(row, keyRing.open(row.accessToken, tokenAt(row, 'accessToken')))
  },
})
await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
