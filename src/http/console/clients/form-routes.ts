import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Broker } from '../../../broker.ts'
import { findLastReads } from '../../../clients/last-reads.ts'
import { findClient } from '../../../clients/store.ts'
import { ClientBody, ClientParams, KeyParams } from '../../../contract/clients.ts'
import { BrokerError } from '../../../lib/errors.ts'
import { Type } from '../../../lib/type.ts'
import { auditing, beginAct } from '../../plugins/audit.ts'
import { redirectWith } from '../flash.ts'
import { readForm, refusedForm } from '../form.ts'
import { sendPage } from '../page.ts'
import { hasMoved } from '../seen.ts'
import { sendClient, sendClients } from './client-routes.ts'
import { grantsSeen, newKeyView, revocationView } from './client-view.ts'
import { CLIENTS_PATH } from './clients-view.ts'
import { readGrants } from './typed-grants.ts'

const ONE = `${CLIENTS_PATH}/:client`
const HOUR_SECONDS = 3600
const MAX_OVERLAP_HOURS = 30 * 24

const { name, role, expires_in_days } = ClientBody.properties
const GrantsText = Type.Optional(Type.String({ maxLength: 60_000 }))
const NewClientForm = Type.Object({ name, role, expires_in_days, grants: GrantsText })
const GrantsForm = Type.Object({ grants: GrantsText })
const KeyForm = Type.Object({
  expires_in_days,
  overlap_hours: Type.Optional(Type.Number({ minimum: 0, maximum: MAX_OVERLAP_HOURS })),
})

/** Creates clients, changes their grants and keys, and revokes them. */
export const clientForms: FastifyPluginAsyncTypebox<Broker> = async (app, broker) => {
  const { clients, database } = broker

  app.post(CLIENTS_PATH, {
    schema: { hide: true, operationId: 'createClient' },
    handler: async (request, reply) => {
      const read = readForm(request, NewClientForm)
      if (!read.isValid)
        return sendClients(broker, request, reply, { form: read.form, status: 422 })
      const { data } = read
      try {
        const grants = readGrants(data.grants)
        auditing(request, { detail: { client: data.name, role: data.role, grants: grants.length } })
        const order = {
          name: data.name,
          role: data.role,
          grants,
          expiresInDays: data.expires_in_days,
        }
        const { client, keyId, key } = await clients.create(order, beginAct(request))
        const view = newKeyView(client, keyId, key.reveal())
        return sendPage(request, reply, { ...view, section: 'clients', holdsSecret: true })
      } catch (error) {
        const field = isCode(error, 'client_exists') ? 'name' : 'grants'
        const form = refusedForm(read.form, error, field)
        return sendClients(broker, request, reply, { form, status: 422 })
      }
    },
  })

  app.post(`${ONE}/grants`, {
    schema: { hide: true, operationId: 'setGrants', params: ClientParams },
    handler: async (request, reply) => {
      const { client: of } = request.params
      const read = readForm(request, GrantsForm)
      if (!read.isValid) {
        return sendClient(broker, request, reply, { name: of, grants: read.form, status: 422 })
      }
      const present = await findClient(database.db, of)
      if (present !== undefined && hasMoved(request, grantsSeen(present))) {
        const moved = new BrokerError(
          'bad_request',
          'The grants have changed since you opened the page, so nothing was done. The list above shows them as they are now.',
        )
        const grants = refusedForm(read.form, moved, 'grants')
        return sendClient(broker, request, reply, { name: of, grants, status: 409 })
      }
      try {
        const grants = readGrants(read.data.grants)
        await clients.setGrants(of, grants, beginAct(request))
      } catch (error) {
        if (isCode(error, 'client_not_found')) throw error
        const grants = refusedForm(read.form, error, 'grants')
        return sendClient(broker, request, reply, { name: of, grants, status: 422 })
      }
      return redirectWith(reply, `${CLIENTS_PATH}/${of}`, 'The grants are replaced.')
    },
  })

  app.post(`${ONE}/keys`, {
    schema: { hide: true, operationId: 'addClientKey', params: ClientParams },
    handler: async (request, reply) => {
      const { client: of } = request.params
      const read = readForm(request, KeyForm)
      if (!read.isValid) {
        return sendClient(broker, request, reply, { name: of, key: read.form, status: 422 })
      }
      const { expires_in_days: days, overlap_hours: hours = 0 } = read.data
      const overlapSeconds = Math.round(hours * HOUR_SECONDS)
      const { client, keyId, key } = await clients.addKey(
        of,
        days,
        overlapSeconds,
        beginAct(request),
      )
      const view = newKeyView(client, keyId, key.reveal())
      return sendPage(request, reply, { ...view, section: 'clients', holdsSecret: true })
    },
  })

  app.post(`${ONE}/keys/:key/end`, {
    schema: { hide: true, operationId: 'removeClientKey', params: KeyParams },
    handler: async (request, reply) => {
      const { client: of, key } = request.params
      await clients.removeKey(of, key, beginAct(request))
      return redirectWith(reply, `${CLIENTS_PATH}/${of}`, `The key ${key} is ended.`)
    },
  })

  app.get(`${ONE}/revoke`, {
    schema: { hide: true, operationId: 'showRevocation', params: ClientParams },
    handler: async (request, reply) => {
      const client = await findClient(database.db, request.params.client)
      if (client === undefined) {
        throw new BrokerError('client_not_found', 'There is no such client, or it was revoked.')
      }
      const reads = await findLastReads(database.db, [client.name])
      const view = revocationView(client, reads.ofClient(client.name))
      return sendPage(request, reply, { ...view, section: 'clients' })
    },
  })

  app.post(`${ONE}/revoke`, {
    schema: { hide: true, operationId: 'revokeClient', params: ClientParams },
    handler: async (request, reply) => {
      const { client: of } = request.params
      await clients.revoke(of, beginAct(request))
      return redirectWith(reply, CLIENTS_PATH, `${of} is revoked. None of its keys works any more.`)
    },
  })
}

function isCode(error: unknown, code: BrokerError['code']): boolean {
  return error instanceof BrokerError && error.code === code
}
