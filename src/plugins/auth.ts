import { hash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { type Caller, reachOf } from '../clients/caller.ts'
import type { ClientDirectory } from '../clients/directory.ts'
import { BrokerError } from '../errors.ts'
import type { Secret } from '../vault/secret.ts'
import type { GuessLimit } from './guess-limit.ts'

declare module 'fastify' {
  interface FastifyRequest {
    caller: Caller | null
  }
}

const BEARER = /^Bearer ([\x21-\x7e]+)$/i
const OPERATOR: Caller = { name: 'operator', role: 'operator', reach: reachOf([]) }

export interface AuthOptions {
  /** Of the environment: it comes in before there are any clients. */
  operatorKey: Secret
  directory: ClientDirectory
  guesses: GuessLimit
}

/**
 * Registered inside the scope that it protects, so that no route there is open by mistake: names the caller, or answers 401
 * before anything else of the request is looked at. A valid key is looked at first and never counted: only failures are
 * limited and slowed, so nobody is shut out by a neighbour at the same address.
 */
export const authPlugin = fp<AuthOptions>(
  async (app, { operatorKey, directory, guesses }) => {
    const expected = digestOf(operatorKey.reveal())
    app.decorateRequest('caller', null)
    const authenticate = async (request: FastifyRequest, header: string) => {
      const [, key] = BEARER.exec(header) ?? []
      if (key !== undefined) {
        request.caller = (await directory.authenticate(key, header)) ?? null
        if (request.caller === null && timingSafeEqual(digestOf(key), expected)) {
          request.caller = OPERATOR
        }
      }
      if (request.caller !== null) return
      await guesses.count(request)
      throw new BrokerError('unauthorized', 'The key is missing, unknown, expired or revoked.')
    }
    // With a callback, so that whoever is known costs no promise.
    app.addHook('onRequest', (request, _reply, done) => {
      const header = request.headers.authorization ?? ''
      request.caller = directory.recognise(header) ?? null
      if (request.caller !== null) return done()
      authenticate(request, header).then(() => done(), done)
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
