import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Clients } from '../../clients/service.ts'
import {
  ClientBody,
  ClientPageSchema,
  ClientParams,
  ClientSchema,
  GrantsBody,
  KeyBody,
  KeyParams,
  ListClientsQuery,
  MintedKeySchema,
} from '../../contract/clients.ts'
import { Type } from '../../lib/type.ts'
import { auditing, beginAct } from '../plugins/audit.ts'
import { COMMON_PROBLEMS, NAMED_ACCOUNT_PROBLEMS, problems } from '../problem-responses.ts'
import { clientToJson, mintedKeyToJson } from './to-json.ts'

const Done = { 204: Type.Null({ description: 'done' }) }

/** Manages the services that may call the broker, and the tokens that they may have. */
export const clientRoutes: FastifyPluginAsyncTypebox<{ clients: Clients }> = async (
  app,
  { clients },
) => {
  app.addSchema(ClientSchema)
  app.addSchema(MintedKeySchema)

  app.get('/clients', {
    schema: {
      operationId: 'listClients',
      tags: ['clients'],
      summary: 'Returns all clients with their grants and keys, without the keys themselves',
      querystring: ListClientsQuery,
      response: {
        200: ClientPageSchema,
        ...problems(...COMMON_PROBLEMS),
      },
    },
    handler: async (request) => {
      const page = await clients.list(request.query.after)
      return { clients: page.clients.map(clientToJson), next: page.next }
    },
  })

  app.post('/clients', {
    schema: {
      operationId: 'createClient',
      tags: ['clients'],
      summary: 'Creates a client for a service; its key is shown only once',
      body: ClientBody,
      response: {
        201: Type.Ref('MintedKey'),
        ...problems(...COMMON_PROBLEMS, ...NAMED_ACCOUNT_PROBLEMS, 'client_exists'),
      },
    },
    handler: async (request, reply) => {
      const { name, role, grants = [], expires_in_days: expiresInDays } = request.body
      auditing(request, { detail: { client: name, role, grants: grants.length } })
      const order = { name, role, grants, expiresInDays }
      return reply.code(201).send(mintedKeyToJson(await clients.create(order, beginAct(request))))
    },
  })

  app.put('/clients/:client/grants', {
    schema: {
      operationId: 'setGrants',
      tags: ['clients'],
      summary: 'Replaces the grants of a client',
      params: ClientParams,
      body: GrantsBody,
      response: {
        200: Type.Ref('Client'),
        ...problems(...COMMON_PROBLEMS, ...NAMED_ACCOUNT_PROBLEMS, 'client_not_found'),
      },
    },
    handler: async (request) => {
      const { client } = request.params
      const { grants } = request.body
      return clientToJson(await clients.setGrants(client, grants, beginAct(request)))
    },
  })

  app.post('/clients/:client/keys', {
    schema: {
      operationId: 'addClientKey',
      tags: ['clients'],
      summary: 'Adds a second key; the previous one stays valid for a while',
      params: ClientParams,
      body: KeyBody,
      response: { 201: Type.Ref('MintedKey'), ...problems(...COMMON_PROBLEMS, 'client_not_found') },
    },
    handler: async (request, reply) => {
      const { expires_in_days, overlap_seconds = 0 } = request.body
      const { client } = request.params
      const key = await clients.addKey(client, expires_in_days, overlap_seconds, beginAct(request))
      return reply.code(201).send(mintedKeyToJson(key))
    },
  })

  app.delete('/clients/:client/keys/:key', {
    schema: {
      operationId: 'removeClientKey',
      tags: ['clients'],
      summary: 'Ends one key of a client',
      params: KeyParams,
      response: { ...Done, ...problems(...COMMON_PROBLEMS, 'client_not_found') },
    },
    handler: async (request, reply) => {
      const { client, key } = request.params
      await clients.removeKey(client, key, beginAct(request))
      return reply.code(204).send(null)
    },
  })

  app.delete('/clients/:client', {
    schema: {
      operationId: 'revokeClient',
      tags: ['clients'],
      summary: 'Ends all keys of a client for good',
      params: ClientParams,
      response: { ...Done, ...problems(...COMMON_PROBLEMS, 'client_not_found') },
    },
    handler: async (request, reply) => {
      await clients.revoke(request.params.client, beginAct(request))
      return reply.code(204).send(null)
    },
  })
}
