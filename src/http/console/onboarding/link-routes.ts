import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Broker } from '../../../broker.ts'
import { findLinkProgress, withdrawLink } from '../../../connect-links/link-progress.ts'
import { LinkBody } from '../../../contract/connect-links.ts'
import { UuidField } from '../../../contract/fields.ts'
import { BrokerError } from '../../../lib/errors.ts'
import { Type } from '../../../lib/type.ts'
import { readOpenerOrigin } from '../../connect-links/opener-origin.ts'
import { auditing, beginAct } from '../../plugins/audit.ts'
import { callerOf } from '../../plugins/auth.ts'
import { redirectWith } from '../flash.ts'
import { readForm, refusedForm } from '../form.ts'
import { sendPage } from '../page.ts'
import { madeLinkView, watchedLinkView } from './link-view.ts'
import { sendOverview } from './overview-routes.ts'
import { ONBOARDING_PATH } from './overview-view.ts'

const LinkParams = Type.Object({ link: UuidField })

/** Makes connect links, watches them and ends them. */
export const linkPages: FastifyPluginAsyncTypebox<Broker> = async (app, broker) => {
  const { links, database, integrations } = broker

  app.post(`${ONBOARDING_PATH}/links`, {
    schema: { hide: true, operationId: 'createConnectLink' },
    handler: async (request, reply) => {
      const read = readForm(request, LinkBody)
      if (!read.isValid) return sendOverview(broker, request, reply, read.form, 422)
      const { integration, mode = 'popup', account, opener_origin } = read.data
      auditing(request, { detail: { integration, mode } })
      try {
        const order = {
          integration,
          mode,
          expectedAccount: account?.toLowerCase(),
          openerOrigin: readOpenerOrigin(opener_origin),
          createdBy: callerOf(request).name,
        }
        const link = await links.create(order, beginAct(request))
        const view = madeLinkView(link, await integrations.load(integration), order.expectedAccount)
        return sendPage(request, reply, { ...view, section: 'onboarding', holdsSecret: true })
      } catch (error) {
        const field = opener_origin === undefined ? 'integration' : 'opener_origin'
        return sendOverview(broker, request, reply, refusedForm(read.form, error, field), 422)
      }
    },
  })

  app.get(`${ONBOARDING_PATH}/links/:link`, {
    schema: { hide: true, operationId: 'showConnectLink', params: LinkParams },
    handler: async (request, reply) => {
      const link = await findLinkProgress(database.db, request.params.link)
      if (link === undefined) {
        throw new BrokerError(
          'link_not_found',
          'The link was withdrawn, or is older than 90 days.',
          {
            members: { remedy: 'Make another one on the page Onboarding.' },
          },
        )
      }
      return sendPage(request, reply, {
        ...watchedLinkView(link),
        section: 'onboarding',
        isLive: true,
      })
    },
  })

  app.post(`${ONBOARDING_PATH}/links/:link/withdraw`, {
    schema: { hide: true, operationId: 'withdrawConnectLink', params: LinkParams },
    handler: async (request, reply) => {
      await withdrawLink(database, request.params.link, beginAct(request))
      return redirectWith(reply, ONBOARDING_PATH, 'The link is withdrawn. It leads nowhere now.')
    },
  })
}
