import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Forecasts } from '../../accounts/forecast.ts'
import { countByStatus } from '../../accounts/store.ts'
import { ForecastSchema } from '../../contract/account-history.ts'
import { AccountCountsSchema } from '../../contract/accounts.ts'
import type { Database } from '../../db/database.ts'
import { COMMON_PROBLEMS, problems } from '../problem-responses.ts'
import { forecastToJson } from './history-to-json.ts'

interface AccountHealthOptions {
  database: Database
  forecasts: Forecasts
}

/** Counts accounts, and forecasts their refreshes. */
export const accountHealthRoutes: FastifyPluginAsyncTypebox<AccountHealthOptions> = async (
  app,
  { database, forecasts },
) => {
  app.get('/forecast', {
    schema: {
      operationId: 'forecastRefreshes',
      tags: ['health'],
      summary: 'Returns the refreshes that fall due in the next 24 hours, and what the pace allows',
      description:
        'Accounts in use come back after their refresh and are counted again. While an integration is paused or halted, nothing is taken off its backlog.',
      response: { 200: ForecastSchema, ...problems(...COMMON_PROBLEMS) },
    },
    handler: async () => forecastToJson(await forecasts.get()),
  })

  app.get('/health/accounts', {
    schema: {
      operationId: 'accountHealth',
      tags: ['health'],
      summary: 'Counts the accounts by status, and shows how late their refreshes are',
      response: { 200: AccountCountsSchema, ...problems(...COMMON_PROBLEMS) },
    },
    handler: async () => {
      const counts = await countByStatus(database.db)
      return {
        accounts: counts.map(({ overdueSeconds, ...count }) => ({
          ...count,
          overdue_seconds: overdueSeconds,
        })),
      }
    },
  })
}
