import Fastify from 'fastify'
import { TokenSchema } from '../../src/contract/tokens.ts'

/**
 * Side 1: the cost of the HTTP server. Sends a constant object through a response schema; no key,
 * no log.
 */
const constant = JSON.parse(process.env.BODY ?? '{}') as object
const app = Fastify()
app.get('/health/live', async () => 'ready')
app.get('/tokens/:account', {
  schema: { response: { 200: TokenSchema } },
  handler: (_request, reply) => {
    reply.send(constant)
  },
})
await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
