import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { approve, findAccount, setPaused } from '../../../accounts/store.ts'
import type { Act } from '../../../audit/act.ts'
import type { Broker } from '../../../broker.ts'
import type { AccountKey } from '../../../lib/account-key.ts'
import { BrokerError } from '../../../lib/errors.ts'
import type { CachedToken } from '../../../tokens/cached-token.ts'
import { auditing, beginAct } from '../../plugins/audit.ts'
import { callerOf } from '../../plugins/auth.ts'
import { redirectWith } from '../flash.ts'
import { sendPage } from '../page.ts'
import { band } from '../parts.ts'
import { accountPath } from '../paths.ts'
import { remedyText } from '../remedy-text.ts'
import { hasMoved, movedNote } from '../seen.ts'
import { checkMain, checkTitle } from './check-view.ts'
import { lastActOn, sendAccount } from './load-account.ts'
import { ACCOUNT_ROUTE, AccountPageParams, keyOf } from './paths.ts'
import { seenState } from './state.ts'

interface Action {
  below: string
  operationId: string
  /** Does it, and returns what the page then says. */
  run(broker: Broker, request: FastifyRequest, account: CachedToken, act: Act): Promise<string>
}

const ACTIONS: Action[] = [
  {
    below: '/pause',
    operationId: 'pauseAccount',
    async run({ database }, _request, account, act) {
      await setPaused(database.db, account, true, act)
      return 'Paused. Services get the token until it ends, and nothing is refreshed.'
    },
  },
  {
    below: '/resume',
    operationId: 'resumeAccount',
    async run({ database }, _request, account, act) {
      await setPaused(database.db, account, false, act)
      return 'Resumed. It is refreshed again.'
    },
  },
  {
    below: '/approve',
    operationId: 'approveAccount',
    async run({ database }, _request, account, act) {
      await approve(database.db, account, act)
      return 'Approved. Services get its token from now on.'
    },
  },
  {
    below: '/take-over',
    operationId: 'takeAccountOver',
    async run({ checks }, _request, account, act) {
      await checks.endShadow(account, act)
      return 'The shadow has ended. This broker refreshes the account from now on.'
    },
  },
  {
    below: '/force',
    operationId: 'reportToken',
    async run({ tokens }, request, { integration, accountId }, act) {
      const wanted = { name: String(accountId), integration }
      const { token } = await tokens.forced.force(callerOf(request), wanted, act)
      return `Refreshed. Services get generation ${token.generation} now.`
    },
  },
]

/** Acts on one account. Nothing is done when somebody has changed it since the page was opened. */
export const accountActionPages: FastifyPluginAsyncTypebox<Broker> = async (app, broker) => {
  for (const { below, operationId, run } of ACTIONS) {
    app.post(`${ACCOUNT_ROUTE}${below}`, {
      schema: { hide: true, operationId, params: AccountPageParams },
      handler: (request, reply) =>
        withAccount(broker, request, reply, keyOf(request.params), async (account, act) => {
          const note = await run(broker, request, account, act)
          return redirectWith(reply, accountPath(account), note)
        }),
    })
  }

  app.post(`${ACCOUNT_ROUTE}/check`, {
    schema: { hide: true, operationId: 'checkAccount', params: AccountPageParams },
    handler: (request, reply) =>
      withAccount(broker, request, reply, keyOf(request.params), async (account, act) => {
        const check = await broker.checks.check(callerOf(request), account, act)
        const title = checkTitle(check)
        return sendPage(request, reply, { title, section: 'accounts', main: checkMain(check) })
      }),
  })
}

/**
 * Runs an action on an account. Shows the account with an explanation when it has changed
 * meanwhile, or when the action is refused.
 */
async function withAccount(
  broker: Broker,
  request: FastifyRequest,
  reply: FastifyReply,
  key: AccountKey,
  action: (account: CachedToken, act: Act) => Promise<FastifyReply>,
): Promise<FastifyReply> {
  const { db } = broker.database
  auditing(request, { account: key })
  const [state, account] = await Promise.all([findAccount(db, key), broker.lookup.fresh(key)])
  if (state === undefined || account === undefined) return sendAccount(broker, request, reply, key)
  if (hasMoved(request, seenState(state))) {
    auditing(request, { outcome: 'moved' })
    const note = movedNote(await lastActOn(db, key))
    return sendAccount(broker, request, reply, key, { status: 409, note })
  }
  try {
    return await action(account, beginAct(request))
  } catch (error) {
    if (!(error instanceof BrokerError) || error.code === 'storage_unavailable') throw error
    auditing(request, { outcome: error.code })
    const remedy = typeof error.members.remedy === 'string' ? remedyText(error.members.remedy) : ''
    const note = band('bad', error.message, remedy || undefined)
    return sendAccount(broker, request, reply, key, { status: error.statusCode, note })
  }
}
