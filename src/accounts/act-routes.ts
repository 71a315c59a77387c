import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { requireOperator } from '../clients/caller.ts'
import { BrokerError, type ErrorCode } from '../errors.ts'
import { auditing } from '../plugins/audit.ts'
import { callerOf } from '../plugins/auth.ts'
import { problems } from '../plugins/problems.ts'
import { AccountParams, IntegrationQuery } from '../tokens/schemas.ts'
import type { AccountKey } from './account-key.ts'
import { removeAccount } from './removal.ts'
import type { AccountRoutesOptions } from './routes.ts'
import { CheckSchema, checkToJson, RemovedSchema, removedToJson, toJson } from './schemas.ts'
import { approve, findAccount } from './store.ts'

const PROBLEMS = [
  'bad_request',
  'unauthorized',
  'forbidden',
  'account_not_found',
  'ambiguous_account',
  'too_many_requests',
  'key_missing',
  'storage_unavailable',
  'internal_error',
] as const satisfies ErrorCode[]

/** What operators do with one account: look at it in earnest, approve it, take it over, remove it. */
export const actRoutes: FastifyPluginAsyncTypebox<AccountRoutesOptions> = async (app, options) => {
  const { database, lookup, checks } = options
  const named = { params: AccountParams, querystring: IntegrationQuery }

  /** The account that the path names, for an operator alone. */
  const find = async (
    request: FastifyRequest<{ Params: { account: string }; Querystring: { integration?: string } }>,
    action: string,
  ) => {
    const caller = callerOf(request)
    requireOperator(caller, action)
    const name = request.params.account.toLowerCase()
    const { held } = await lookup.byName(caller, name, request.query.integration)
    auditing(request, { account: held })
    return held
  }
  const show = async (key: AccountKey) => {
    const account = await findAccount(database.db, key)
    if (account === undefined) throw new BrokerError('account_not_found', 'It was removed.')
    return toJson(account)
  }

  app.post('/accounts/:account/approve', {
    schema: {
      operationId: 'approveAccount',
      tags: ['accounts'],
      summary: 'Hands out the tokens of an account that nobody expected',
      ...named,
      response: { 200: Type.Ref('Account'), ...problems(...PROBLEMS) },
    },
    handler: async (request) => {
      const held = await find(request, 'approve accounts')
      await approve(database.db, held)
      return show(held)
    },
  })

  app.post('/accounts/:account/take-over', {
    schema: {
      operationId: 'takeAccountOver',
      tags: ['accounts'],
      summary: 'Ends the shadow of an imported account: from here on this broker refreshes it',
      description:
        'Stop the service that refreshed it before. The refresh token is probed first, which spends nothing: one that was replaced meanwhile is refused.',
      ...named,
      response: {
        200: Type.Ref('Account'),
        ...problems(...PROBLEMS, 'shadow_outdated', 'generation_moved', 'provider_unavailable'),
      },
    },
    handler: async (request) => {
      const held = await find(request, 'take accounts over')
      await checks.takeOver(held)
      return show(held)
    },
  })

  app.post('/accounts/:account/check', {
    schema: {
      operationId: 'checkAccount',
      tags: ['accounts'],
      summary: 'Asks the account’s API with its token: account, users, pipelines, leads',
      ...named,
      response: {
        200: CheckSchema,
        ...problems(
          ...PROBLEMS,
          'reauth_required',
          'disconnected',
          'refresh_pending',
          'provider_unavailable',
        ),
      },
    },
    handler: async (request) => {
      const held = await find(request, 'check accounts')
      return checkToJson(await checks.check(callerOf(request), held))
    },
  })

  app.delete('/accounts/:account', {
    schema: {
      operationId: 'removeAccount',
      tags: ['accounts'],
      summary: 'Removes an account and every copy of its tokens; says what remains',
      ...named,
      response: { 200: RemovedSchema, ...problems(...PROBLEMS) },
    },
    handler: async (request) => {
      const held = await find(request, 'remove accounts')
      const removed = await removeAccount(database, held)
      if (removed === undefined) throw new BrokerError('account_not_found', 'It was removed.')
      request.log.warn(
        { integration: held.integration, account: held.accountId, by: callerOf(request).name },
        'account removed',
      )
      return removedToJson(removed)
    },
  })
}
