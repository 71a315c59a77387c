import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { findAccounts } from '../../../accounts/list.ts'
import { findAccountCounts } from '../../../accounts/store.ts'
import type { Broker } from '../../../broker.ts'
import { callerOf } from '../../plugins/auth.ts'
import { sendPage } from '../page.ts'
import { filterFrom, ListQuery } from './list-filter.ts'
import { listMain, listTitle } from './list-view.ts'
import { ACCOUNTS_PATH } from './paths.ts'

const PAGE = 50

/** Lists accounts. */
export const accountListPages: FastifyPluginAsyncTypebox<Broker> = async (app, broker) => {
  app.get(ACCOUNTS_PATH, {
    schema: { hide: true, operationId: 'listAccounts', querystring: ListQuery },
    handler: async (request, reply) => {
      const filter = filterFrom(request.query)
      const { db } = broker.database
      const [page, counts] = await Promise.all([
        findAccounts(db, filter, PAGE),
        findAccountCounts(db),
      ])
      const view = {
        ...{ filter, page, counts },
        integrations: broker.integrations.all().map(({ name }) => name),
        isOperator: callerOf(request).role === 'operator',
      }
      return sendPage(request, reply, {
        title: listTitle(view),
        section: 'accounts',
        main: listMain(view),
      })
    },
  })
}
