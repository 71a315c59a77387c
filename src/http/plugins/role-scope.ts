import fp from 'fastify-plugin'
import { requireOperator } from '../../clients/caller.ts'
import { BrokerError } from '../../lib/errors.ts'
import { callerOf } from './auth.ts'

/**
 * Restricts a scope to operators. The role is checked right after the key and before the body and
 * the query are read, so that a caller without the role always gets 403 and learns nothing about
 * the input that a route expects.
 */
export const operatorScope = fp(
  async (app) => {
    app.addHook('onRequest', async (request) => requireOperator(callerOf(request)))
  },
  { name: 'operator-scope', fastify: '5.x', decorators: { request: ['caller'] } },
)

/** Restricts a scope to monitors and operators, in the same way. */
export const monitorScope = fp(
  async (app) => {
    app.addHook('onRequest', async (request) => {
      if (callerOf(request).role !== 'reader') return
      throw new BrokerError('forbidden', 'Only monitors and operators may do this.', {
        members: {
          remedy: 'Use the key of a client with the role monitor or operator (POST /clients).',
        },
      })
    })
  },
  { name: 'monitor-scope', fastify: '5.x', decorators: { request: ['caller'] } },
)
