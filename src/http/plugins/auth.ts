import { hash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { type Caller, OPERATOR } from '../../clients/caller.ts'
import type { ClientDirectory } from '../../clients/directory.ts'
import { BrokerError } from '../../lib/errors.ts'
import { runInRequest } from '../../lib/request-context.ts'
import type { Secret } from '../../vault/secret.ts'
import type { CountGuess } from './guess-limit.ts'

declare module 'fastify' {
  interface FastifyRequest {
    caller: Caller | null
  }
}

const BEARER = /^Bearer ([\x21-\x7e]+)$/i

interface AuthOptions {
  /** OPERATOR_KEY: valid before there are any clients. */
  operatorKey: Secret
  directory: ClientDirectory
  countGuess: CountGuess
}

/**
 * Identifies the caller by its key, or answers 401 before anything else of the request is read. It
 * is registered inside the scope that it protects, so that no route there is open by mistake. Only
 * failures are limited and slowed down, after a valid key was let in, so that no caller is shut out
 * by another one at the same address.
 */
export const authPlugin = fp<AuthOptions>(
  async (app, { operatorKey, directory, countGuess }) => {
    const expected = digestOf(operatorKey.reveal())
    app.decorateRequest('caller', null)
    const authenticate = async (request: FastifyRequest, header: string) => {
      const key = keyOf(header)
      if (key !== undefined) {
        request.caller = (await directory.authenticate(key, header)) ?? null
        if (request.caller === null && timingSafeEqual(digestOf(key), expected)) {
          request.caller = OPERATOR
        }
      }
      if (request.caller !== null) return
      await countGuess(request)
      throw new BrokerError('unauthorized', 'The key is missing, unknown, expired or revoked.')
    }
    // With a callback, so that a known caller costs no promise.
    app.addHook('onRequest', (request, _reply, done) => {
      const header = request.headers.authorization ?? ''
      request.caller = directory.recognise(header) ?? null
      if (request.caller !== null) return done()
      runInRequest(request, () => authenticate(request, header)).then(() => done(), done)
    })
  },
  { name: 'auth', fastify: '5.x' },
)

/** Returns the key of an `Authorization` header, or undefined if it has another form. */
export function keyOf(header: string): string | undefined {
  return BEARER.exec(header)?.[1]
}

/** Returns the caller of a request in a protected scope. Throws `unauthorized` outside of one. */
export function callerOf(request: FastifyRequest): Caller {
  if (request.caller === null) throw new BrokerError('unauthorized', 'The key is missing.')
  return request.caller
}

/**
 * Returns whether an open route is called with the key of a client that is a monitor or an
 * operator. OPERATOR_KEY does not count: guesses of it are limited only where a key is required.
 */
export async function isMonitor(
  directory: Pick<ClientDirectory, 'authenticate'>,
  { headers }: FastifyRequest,
): Promise<boolean> {
  const [, key] = BEARER.exec(headers.authorization ?? '') ?? []
  if (key === undefined) return false
  // While the storage does not answer, nobody is known to be a monitor.
  const caller = await directory.authenticate(key).catch(() => undefined)
  return caller !== undefined && caller.role !== 'reader'
}

/** Makes keys equally long, so that the time of a comparison reveals nothing. */
function digestOf(key: string): Buffer {
  return hash('sha256', key, 'buffer')
}
