import Fastify from 'fastify'
import { TokenSchema } from '../../src/contract/tokens.ts'
import { findRow, tokenResponseOf } from './stored-tokens.ts'

/**
 * Side 4: the code that a team writes itself. A request makes one prepared select and one AES-GCM
 * decryption; no key, no log.
 */
const app = Fastify()
app.get('/health/live', async () => 'ready')
app.get<{ Params: { account: string } }>('/tokens/:account', {
  schema: { response: { 200: TokenSchema } },
  handler: async (request, reply) => {
    const row = await findRow(request.params.account)
    return row === undefined ? reply.code(404).send() : tokenResponseOf(row)
  },
})
await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
