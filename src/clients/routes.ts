import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { auditing } from '../plugins/audit.ts'
import { callerOf } from '../plugins/auth.ts'
import { problems } from '../plugins/problems.ts'
import { requireOperator } from './caller.ts'
import {
  ClientBody,
  ClientParams,
  ClientSchema,
  GrantsBody,
  KeyBody,
  KeyParams,
  ListQuery,
  MintedKeySchema,
  toJson,
} from './schemas.ts'
import type { Clients, MintedKey } from './service.ts'

const PROBLEMS = [
  'bad_request',
  'unauthorized',
  'forbidden',
  'too_many_requests',
  'storage_unavailable',
  'internal_error',
] as const
const GRANT_PROBLEMS = [
  'integration_not_found',
  'account_not_found',
  'ambiguous_account',
  'key_missing',
] as const
const Gone = { 204: Type.Null({ description: 'done' }) }

/** Operators say which services may come in, and which tokens they may have. */
export const clientRoutes: FastifyPluginAsyncTypebox<{ clients: Clients }> = async (
  app,
  { clients },
) => {
  app.addSchema(ClientSchema)
  app.addSchema(MintedKeySchema)
  // After the key was looked at and before anything else is.
  app.addHook('onRequest', async (request) => {
    requireOperator(callerOf(request), 'manage clients')
  })

  app.get('/clients', {
    schema: {
      operationId: 'listClients',
      tags: ['clients'],
      summary: 'All clients, their grants and keys, without the keys themselves',
      querystring: ListQuery,
      response: {
        200: Type.Object({
          clients: Type.Array(Type.Ref('Client')),
          next: Type.Union([Type.String(), Type.Null()]),
        }),
        ...problems(...PROBLEMS),
      },
    },
    handler: async (request) => {
      const page = await clients.list(request.query.after)
      return { clients: page.clients.map(toJson), next: page.next }
    },
  })

  app.post('/clients', {
    schema: {
      operationId: 'createClient',
      tags: ['clients'],
      summary: 'A key for a named service, shown once',
      body: ClientBody,
      response: {
        201: Type.Ref('MintedKey'),
        ...problems(...PROBLEMS, ...GRANT_PROBLEMS, 'client_exists'),
      },
    },
    handler: async (request, reply) => {
      const { name, role, grants = [], expires_in_days: expiresInDays } = request.body
      auditing(request, { detail: { client: name, role, grants: grants.length } })
      const order = { name, role, grants, expiresInDays }
      return reply.code(201).send(minted(await clients.create(callerOf(request), order)))
    },
  })

  app.put('/clients/:client/grants', {
    schema: {
      operationId: 'setGrants',
      tags: ['clients'],
      summary: 'Replaces what a client was granted',
      params: ClientParams,
      body: GrantsBody,
      response: {
        200: Type.Ref('Client'),
        ...problems(...PROBLEMS, ...GRANT_PROBLEMS, 'client_not_found'),
      },
    },
    handler: async (request) => {
      const { client } = request.params
      return toJson(await clients.setGrants(callerOf(request), client, request.body.grants))
    },
  })

  app.post('/clients/:client/keys', {
    schema: {
      operationId: 'addClientKey',
      tags: ['clients'],
      summary: 'A second key; the one before it is valid for a while yet',
      params: ClientParams,
      body: KeyBody,
      response: { 201: Type.Ref('MintedKey'), ...problems(...PROBLEMS, 'client_not_found') },
    },
    handler: async (request, reply) => {
      const { expires_in_days, overlap_seconds = 0 } = request.body
      const { client } = request.params
      const key = await clients.addKey(client, expires_in_days, overlap_seconds)
      return reply.code(201).send(minted(key))
    },
  })

  app.delete('/clients/:client/keys/:key', {
    schema: {
      operationId: 'removeClientKey',
      tags: ['clients'],
      summary: 'Ends one key of a client',
      params: KeyParams,
      response: { ...Gone, ...problems(...PROBLEMS, 'client_not_found') },
    },
    handler: async (request, reply) => {
      await clients.removeKey(request.params.client, request.params.key)
      return reply.code(204).send(null)
    },
  })

  app.delete('/clients/:client', {
    schema: {
      operationId: 'revokeClient',
      tags: ['clients'],
      summary: 'Ends all keys of a client, for good',
      params: ClientParams,
      response: { ...Gone, ...problems(...PROBLEMS, 'client_not_found') },
    },
    handler: async (request, reply) => {
      await clients.revoke(request.params.client)
      return reply.code(204).send(null)
    },
  })
}

/** The one answer that holds a key. */
function minted({ client, key, keyId }: MintedKey) {
  return { client: toJson(client), key_id: keyId, key: key.reveal() }
}
