import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Broker } from '../../../broker.ts'
import { sendPage } from '../page.ts'
import { homeTitle, homeView } from './home-view.ts'
import { findNeeds } from './needs.ts'
import { findNotices } from './notices.ts'

/** Shows what needs a person, and what the broker did by itself. */
export const homePages: FastifyPluginAsyncTypebox<Broker> = async (app, broker) => {
  app.get('/console', {
    schema: { hide: true, operationId: 'showHome' },
    handler: async (request, reply) => {
      const needs = await findNeeds(broker)
      const notices = findNotices(broker)
      const mayAct = request.caller?.role === 'operator'
      return sendPage(request, reply, {
        title: homeTitle(needs, notices),
        section: 'home',
        main: homeView(needs, notices, mayAct),
        isLive: true,
      })
    },
  })
}
