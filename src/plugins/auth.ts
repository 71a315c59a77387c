import { hash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Caller } from '../clients/caller.ts'
import { BrokerError } from '../errors.ts'
import type { Secret } from '../vault/secret.ts'

declare module 'fastify' {
  interface FastifyRequest {
    caller: Caller | null
  }
}

const BEARER = /^Bearer ([\x21-\x7e]+)$/i
const OPERATOR: Caller = { name: 'operator', role: 'operator' }

/**
 * Registered inside the scope that it protects, so that no route there is open by mistake: names the caller, or answers 401
 * before anything else of the request is looked at.
 */
export const authPlugin = fp<{ operatorKey: Secret }>(
  async (app, { operatorKey }) => {
    const expected = digestOf(operatorKey.reveal())
    app.decorateRequest('caller', null)
    app.addHook('onRequest', async (request) => {
      const [, key] = BEARER.exec(request.headers.authorization ?? '') ?? []
      if (key === undefined || !timingSafeEqual(digestOf(key), expected)) {
        throw new BrokerError('unauthorized', 'The key is missing or unknown.')
      }
      request.caller = OPERATOR
    })
  },
  { name: 'auth', fastify: '5.x' },
)

/** Of one length, whatever is presented, so that comparing takes a time that tells nothing. */
function digestOf(key: string): Buffer {
  return hash('sha256', key, 'buffer')
}

/** The caller of a request in a protected scope. Throws `unauthorized` outside of one. */
export function callerOf(request: FastifyRequest): Caller {
  if (request.caller === null) throw new BrokerError('unauthorized', 'The key is missing.')
  return request.caller
}
