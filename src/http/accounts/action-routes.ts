import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { AccountChecks } from '../../accounts/account-checks.ts'
import { removeAccount } from '../../accounts/removal.ts'
import { approve } from '../../accounts/store.ts'
import { CheckSchema, RemovedSchema } from '../../contract/accounts.ts'
import { AccountParams, IntegrationQuery } from '../../contract/tokens.ts'
import { BrokerError } from '../../lib/errors.ts'
import { Type } from '../../lib/type.ts'
import { beginAct } from '../plugins/audit.ts'
import { callerOf } from '../plugins/auth.ts'
import { COMMON_PROBLEMS, NAMED_ACCOUNT_PROBLEMS, problems } from '../problem-responses.ts'
import { getNamedAccount, showAccount } from './named-account.ts'
import type { AccountRoutesOptions } from './routes.ts'
import { checkToJson, removedToJson } from './to-json.ts'

const PROBLEMS = [...COMMON_PROBLEMS, ...NAMED_ACCOUNT_PROBLEMS] as const

interface ActionRoutesOptions extends AccountRoutesOptions {
  checks: AccountChecks
}

/** Approves, takes over, checks and removes accounts. */
export const actionRoutes: FastifyPluginAsyncTypebox<ActionRoutesOptions> = async (
  app,
  { database, lookup, checks },
) => {
  const named = { params: AccountParams, querystring: IntegrationQuery }

  app.post('/accounts/:account/approve', {
    schema: {
      operationId: 'approveAccount',
      tags: ['accounts'],
      summary: 'Approves an unexpected account: its tokens are handed out from now on',
      ...named,
      response: { 200: Type.Ref('Account'), ...problems(...PROBLEMS) },
    },
    handler: async (request) => {
      const account = await getNamedAccount(lookup, request)
      await approve(database.db, account, beginAct(request))
      return showAccount(database, account)
    },
  })

  app.post('/accounts/:account/take-over', {
    schema: {
      operationId: 'takeAccountOver',
      tags: ['accounts'],
      summary: 'Ends the shadow of an imported account: this broker refreshes it from now on',
      description:
        'First stop the service that refreshed the account. The refresh token is probed, which does not spend it. If the other service has replaced it, the request is refused.',
      ...named,
      response: {
        200: Type.Ref('Account'),
        ...problems(...PROBLEMS, 'shadow_outdated', 'generation_moved', 'provider_unavailable'),
      },
    },
    handler: async (request) => {
      const account = await getNamedAccount(lookup, request)
      await checks.endShadow(account, beginAct(request))
      return showAccount(database, account)
    },
  })

  app.post('/accounts/:account/check', {
    schema: {
      operationId: 'checkAccount',
      tags: ['accounts'],
      summary: 'Calls the account’s API with its token: account, users, pipelines, leads',
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
      const account = await getNamedAccount(lookup, request)
      return checkToJson(await checks.check(callerOf(request), account, beginAct(request)))
    },
  })

  app.delete('/accounts/:account', {
    schema: {
      operationId: 'removeAccount',
      tags: ['accounts'],
      summary: 'Removes an account and every copy of its tokens; lists what remains elsewhere',
      ...named,
      response: { 200: RemovedSchema, ...problems(...PROBLEMS) },
    },
    handler: async (request) => {
      const { integration, accountId } = await getNamedAccount(lookup, request)
      const key = { integration, accountId }
      const removed = await removeAccount(database, key, beginAct(request))
      if (removed === undefined) throw new BrokerError('account_not_found', 'It was removed.')
      request.log.warn(
        { integration, account: accountId, by: callerOf(request).name },
        'account removed',
      )
      return removedToJson(removed)
    },
  })
}
