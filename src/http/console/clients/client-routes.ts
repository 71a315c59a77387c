import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Broker } from '../../../broker.ts'
import { findLastReads, findLastReadsOfGrants } from '../../../clients/last-reads.ts'
import { findClient } from '../../../clients/store.ts'
import { ClientParams } from '../../../contract/clients.ts'
import { accountsByName } from '../../../db/accounts-by-name.ts'
import { BrokerError } from '../../../lib/errors.ts'
import { Type } from '../../../lib/type.ts'
import { emptyForm, type Form } from '../form.ts'
import { sendPage } from '../page.ts'
import { accessView, type NamedAccount } from './access-view.ts'
import { clientView, grantsText } from './client-view.ts'
import { CLIENTS_PATH, clientsView } from './clients-view.ts'

const ClientsQuery = Type.Object({
  account: Type.Optional(Type.String({ maxLength: 253 })),
  after: Type.Optional(Type.String({ maxLength: 63 })),
})

/** Shows all clients with their grants, who may read an account, and each client. */
export const clientPages: FastifyPluginAsyncTypebox<Broker> = async (app, broker) => {
  app.get(CLIENTS_PATH, {
    schema: { hide: true, operationId: 'showClients', querystring: ClientsQuery },
    handler: (request, reply) =>
      sendClients(broker, request, reply, {
        form: emptyForm({ role: 'reader' }),
        ...request.query,
      }),
  })

  app.get(`${CLIENTS_PATH}/:client`, {
    schema: { hide: true, operationId: 'showClient', params: ClientParams },
    handler: (request, reply) =>
      sendClient(broker, request, reply, { name: request.params.client }),
  })
}

interface WantedList {
  form: Form
  account?: string
  after?: string
  status?: number
}

/** Sends the list with the form for a new client, which may have been refused. */
export async function sendClients(
  broker: Broker,
  request: FastifyRequest,
  reply: FastifyReply,
  { form, account, after, status = 200 }: WantedList,
): Promise<FastifyReply> {
  const { clients, next } = await broker.clients.list(after)
  const names = clients.map(({ name }) => name)
  const reads = await findLastReads(broker.database.db, names)
  const integrations = broker.integrations.all().map(({ name }) => name)
  const access = account === undefined ? undefined : await accessTo(broker, account)
  const view = clientsView({ clients, next, reads, integrations, form, access })
  return sendPage(request, reply, { ...view, section: 'clients', status })
}

async function accessTo({ database, clients }: Broker, typed: string) {
  const name = typed.trim().toLowerCase()
  const isName = /^[a-z0-9][a-z0-9.-]*$/.test(name)
  const accounts: NamedAccount[] = isName
    ? await accountsByName(database.db, name)
        .select(['integration', 'accountId', 'domain', 'status'])
        .execute()
    : []
  const everybody = []
  for (let after: string | null = ''; after !== null; ) {
    const page: Awaited<ReturnType<typeof clients.list>> = await clients.list(after)
    everybody.push(...page.clients)
    after = page.next
  }
  return accessView(typed, accounts, everybody)
}

interface WantedClient {
  name: string
  grants?: Form
  key?: Form
  status?: number
}

/** Sends the page of one client. Forms that were refused keep what was typed. */
export async function sendClient(
  broker: Broker,
  request: FastifyRequest,
  reply: FastifyReply,
  { name, status = 200, ...forms }: WantedClient,
): Promise<FastifyReply> {
  const { db } = broker.database
  const client = await findClient(db, name)
  if (client === undefined) {
    throw new BrokerError('client_not_found', `There is no client "${name}", or it was revoked.`, {
      members: { remedy: 'The page Clients lists all of them.' },
    })
  }
  const reads = await findLastReads(db, [name])
  const grantReads = await findLastReadsOfGrants(db, name, client.grants)
  const view = clientView({
    client,
    lastRead: reads.ofClient(name),
    lastReadOf: ({ integration, accountId }) =>
      accountId === null
        ? reads.of(name, integration)
        : grantReads.get(`${integration}/${accountId}`),
    grants: emptyForm({ grants: grantsText(client) }),
    key: emptyForm({ overlap_hours: '24' }),
    ...forms,
  })
  return sendPage(request, reply, { ...view, section: 'clients', status })
}
