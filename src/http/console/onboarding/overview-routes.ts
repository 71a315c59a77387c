import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { findPendingAccounts } from '../../../accounts/pending-accounts.ts'
import { approve, findAccount } from '../../../accounts/store.ts'
import type { Broker } from '../../../broker.ts'
import { listLinks } from '../../../connect-links/link-progress.ts'
import { IntegrationField } from '../../../contract/fields.ts'
import { Type } from '../../../lib/type.ts'
import { auditing, beginAct } from '../../plugins/audit.ts'
import { redirectWith } from '../flash.ts'
import { emptyForm, type Form } from '../form.ts'
import { sendPage } from '../page.ts'
import { hasMoved, movedNote } from '../seen.ts'
import { ONBOARDING_PATH, overviewView, pendingState } from './overview-view.ts'

const ROWS = 50

const PendingParams = Type.Object({
  integration: IntegrationField,
  account: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
})

/** Shows what waits for approval, what came in, and the form for a link. */
export const overviewPages: FastifyPluginAsyncTypebox<Broker> = async (app, broker) => {
  app.get(ONBOARDING_PATH, {
    schema: { hide: true, operationId: 'showOnboardings' },
    handler: (request, reply) => sendOverview(broker, request, reply, emptyForm()),
  })

  app.post(`${ONBOARDING_PATH}/pending/:integration/:account/approve`, {
    schema: { hide: true, operationId: 'approveAccount', params: PendingParams },
    handler: async (request, reply) => {
      const { integration, account: accountId } = request.params
      const { db } = broker.database
      const account = await findAccount(db, { integration, accountId })
      if (account === undefined || hasMoved(request, pendingState(account))) {
        return sendOverview(broker, request, reply, emptyForm(), 409)
      }
      auditing(request, { account })
      await approve(db, account, beginAct(request))
      const name = account.domain ?? String(accountId)
      return redirectWith(reply, ONBOARDING_PATH, `${name} is approved. Its tokens are handed out.`)
    },
  })
}

/** Sends the page with a form for a link, which may have been refused. */
export async function sendOverview(
  broker: Broker,
  request: FastifyRequest,
  reply: FastifyReply,
  form: Form,
  status = 200,
): Promise<FastifyReply> {
  const { db } = broker.database
  const [pending, onboardings, links] = await Promise.all([
    findPendingAccounts(db, ROWS),
    broker.onboarding.list(undefined, ROWS),
    listLinks(db, undefined, ROWS),
  ])
  const integrations = broker.integrations.all()
  const view = overviewView({ pending, onboardings, links, integrations, form })
  const note = status === 409 ? movedNote() : undefined
  return sendPage(request, reply, { ...view(note), section: 'onboarding', status })
}
