import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { requireOperator } from '../clients/caller.ts'
import type { Database } from '../db/database.ts'
import { BrokerError } from '../errors.ts'
import { auditing } from '../plugins/audit.ts'
import { callerOf } from '../plugins/auth.ts'
import { problems } from '../plugins/problems.ts'
import type { ConnectLinks } from './links.ts'
import { findToReconnect } from './reconnect.ts'
import { IntegrationField } from './schemas.ts'

const Link = Type.Object({
  url: Type.String({ description: 'for the browser of an administrator of the account' }),
  expires_at: Type.String({ format: 'date-time' }),
})
const ACCOUNT = '^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$'
const CURSOR = '^[a-z0-9][a-z0-9-]{0,62}/[0-9]{1,15}$'
const PAGE = 200

export const ModeField = Type.Enum(['popup', 'post_message'], { default: 'popup' })
export const ExpectedAccountField = Type.String({
  pattern: ACCOUNT,
  description: 'id, domain or subdomain of the only account that the link is for',
})
export const OpenerOriginField = Type.String({
  maxLength: 200,
  pattern: '^https?://[A-Za-z0-9.:-]+$',
  description:
    'origin of the page that opens the link in a window: it gets the outcome by postMessage, and the window closes',
})

const PROBLEMS = [
  'bad_request',
  'unauthorized',
  'forbidden',
  'too_many_requests',
  'integration_not_found',
  'storage_unavailable',
  'internal_error',
] as const

export interface LinkRoutesOptions {
  links: ConnectLinks
  database: Database
}

/** Internal: an operator orders connect links. */
export const connectLinkRoutes: FastifyPluginAsyncTypebox<LinkRoutesOptions> = async (
  app,
  { links, database },
) => {
  app.addHook('onRequest', async (request) => {
    requireOperator(callerOf(request), 'make connect links')
  })

  app.post('/connect-links', {
    schema: {
      operationId: 'createConnectLink',
      tags: ['onboarding'],
      summary: 'A link that leads to the provider’s consent page',
      body: Type.Object(
        {
          integration: Type.String({ minLength: 1, maxLength: 63 }),
          mode: Type.Optional(ModeField),
          account: Type.Optional(ExpectedAccountField),
          opener_origin: Type.Optional(OpenerOriginField),
        },
        { additionalProperties: false },
      ),
      response: { 201: Link, ...problems(...PROBLEMS) },
    },
    handler: async (request, reply) => {
      const { integration, mode = 'popup', account, opener_origin } = request.body
      auditing(request, { detail: { integration, mode } })
      const { url, expiresAt } = await links.create({
        integration,
        mode,
        expectedAccount: account?.toLowerCase(),
        openerOrigin: originOf(opener_origin),
        createdBy: callerOf(request).name,
      })
      return reply.code(201).send({ url, expires_at: expiresAt.toISOString() })
    },
  })

  app.post('/connect-links/reconnect', {
    schema: {
      operationId: 'createReconnectLinks',
      tags: ['onboarding'],
      summary: 'A link for each account that must be authorized again, or of a list',
      description:
        'Without `accounts`: all that are `reauth_required` or `disconnected`. Each link is for its account alone, and the same for a week.',
      body: Type.Object(
        {
          integration: Type.Optional(IntegrationField),
          accounts: Type.Optional(
            Type.Array(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }), {
              minItems: 1,
              maxItems: PAGE,
            }),
          ),
          after: Type.Optional(
            Type.String({ pattern: CURSOR, description: '`next` of the answer before' }),
          ),
        },
        { additionalProperties: false },
      ),
      response: {
        200: Type.Object({
          links: Type.Array(
            Type.Object({
              account_id: Type.Integer(),
              integration: Type.String(),
              domain: Type.Union([Type.String(), Type.Null()]),
              status: Type.String(),
              last_error: Type.Union([Type.String(), Type.Null()]),
              url: Type.String(),
            }),
          ),
          next: Type.Union([Type.String(), Type.Null()]),
        }),
        ...problems(...PROBLEMS),
      },
    },
    handler: async (request) => {
      const { integration, accounts, after } = request.body
      const found = await findToReconnect(database.db, { integration, accounts, after }, PAGE)
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
      auditing(request, { detail: { links: made.length } })
      const last = made.length === PAGE ? made.at(-1) : undefined
      return {
        links: made,
        next: last === undefined ? null : `${last.integration}/${last.account_id}`,
      }
    },
  })
}

/** As browsers write it. Throws `bad_request`. */
export function originOf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const url = URL.parse(text)
  if (url === null) throw new BrokerError('bad_request', 'opener_origin: it is no origin.')
  return url.origin
}
