import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { listLinks, withdrawLink } from '../../connect-links/link-progress.ts'
import type { ConnectLinks } from '../../connect-links/links.ts'
import { findToReconnect } from '../../connect-links/reconnect.ts'
import {
  LinkBody,
  LinkPageSchema,
  LinkParams,
  LinkProgressSchema,
  LinkSchema,
  ListLinksQuery,
  RECONNECT_PAGE,
  ReconnectBody,
  ReconnectSchema,
} from '../../contract/connect-links.ts'
import type { Database } from '../../db/database.ts'
import { Type } from '../../lib/type.ts'
import { readInstant } from '../instant.ts'
import { auditing, beginAct } from '../plugins/audit.ts'
import { callerOf } from '../plugins/auth.ts'
import { COMMON_PROBLEMS, problems } from '../problem-responses.ts'
import { readOpenerOrigin } from './opener-origin.ts'
import { linkToJson } from './to-json.ts'

const PAGE = 100

const PROBLEMS = [...COMMON_PROBLEMS, 'integration_not_found'] as const

interface LinkRoutesOptions {
  links: ConnectLinks
  database: Database
}

/** Creates connect links, lists them with what became of them, and withdraws them. */
export const connectLinkRoutes: FastifyPluginAsyncTypebox<LinkRoutesOptions> = async (
  app,
  { links, database },
) => {
  app.addSchema(LinkProgressSchema)

  app.get('/connect-links', {
    schema: {
      operationId: 'listConnectLinks',
      tags: ['onboarding'],
      summary: 'Returns the links that clients have made and what became of them, the newest first',
      description:
        'Without the secret in their URLs, and without the links that the broker makes by itself (`connect_url`, reconnect links).',
      querystring: ListLinksQuery,
      response: { 200: LinkPageSchema, ...problems(...COMMON_PROBLEMS) },
    },
    handler: async (request) => {
      const rows = await listLinks(database.db, readInstant('before', request.query.before), PAGE)
      const last = rows.length === PAGE ? rows.at(-1) : undefined
      return { links: rows.map(linkToJson), next: last?.createdAt.toISOString() ?? null }
    },
  })

  app.delete('/connect-links/:link', {
    schema: {
      operationId: 'withdrawConnectLink',
      tags: ['onboarding'],
      summary: 'Ends a link that was not used; it leads nowhere from then on',
      params: LinkParams,
      response: {
        204: Type.Null({ description: 'done' }),
        ...problems(...COMMON_PROBLEMS, 'link_not_found'),
      },
    },
    handler: async (request, reply) => {
      const { link } = request.params
      auditing(request, { detail: { link } })
      await withdrawLink(database, link, beginAct(request))
      return reply.code(204).send(null)
    },
  })

  app.post('/connect-links', {
    schema: {
      operationId: 'createConnectLink',
      tags: ['onboarding'],
      summary: 'Creates a link that leads to the provider’s consent page',
      body: LinkBody,
      response: { 201: LinkSchema, ...problems(...PROBLEMS) },
    },
    handler: async (request, reply) => {
      const { integration, mode = 'popup', account, opener_origin } = request.body
      auditing(request, { detail: { integration, mode } })
      const order = {
        integration,
        mode,
        expectedAccount: account?.toLowerCase(),
        openerOrigin: readOpenerOrigin(opener_origin),
        createdBy: callerOf(request).name,
      }
      const { id, url, expiresAt } = await links.create(order, beginAct(request))
      return reply.code(201).send({ id, url, expires_at: expiresAt.toISOString() })
    },
  })

  app.post('/connect-links/reconnect', {
    schema: {
      operationId: 'createReconnectLinks',
      tags: ['onboarding'],
      summary: 'Creates a link for each account that must be authorized again, or for a list',
      description:
        'Without `accounts`: all accounts that are `reauth_required` or `disconnected`. Each link is only for its account, and stays the same for a week.',
      body: ReconnectBody,
      response: { 200: ReconnectSchema, ...problems(...PROBLEMS) },
    },
    handler: async (request) => {
      const { integration, accounts, after } = request.body
      const wanted = { integration, accounts, after }
      const found = await findToReconnect(database.db, wanted, RECONNECT_PAGE)
      auditing(request, { detail: { links: found.length } })
      // First, because the links of a week are the same for all callers and are made one by one.
      await beginAct(request).record(database.db)
      const made = []
      for (const account of found) {
        made.push({
          account_id: account.accountId,
          integration: account.integration,
          domain: account.domain,
          status: account.status,
          last_error: account.lastErrorCode,
          url: await links.reconnectUrl(account, account.generation),
        })
      }
      const last = made.length === RECONNECT_PAGE ? made.at(-1) : undefined
      return {
        links: made,
        next: last === undefined ? null : `${last.integration}/${last.account_id}`,
      }
    },
  })
}
