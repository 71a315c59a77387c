import createError from '@fastify/error'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { ScenarioParams, ScenarioQuery } from './control-schemas.ts'
import { getAccount } from './lookup.ts'
import { applyScenario, scenarios } from './scenarios.ts'
import type { World } from './world.ts'

const UnknownScenario = createError('SANDBOX_UNKNOWN_SCENARIO', '%s', 404)

/** Registers the scenarios. `DELETE /__sandbox/faults` ends the scenarios `blocked` and `slow`. */
export const controlScenarios: FastifyPluginAsyncTypebox<{ world: World }> = async (
  app,
  { world },
) => {
  app.get('/scenarios', async () => ({
    scenarios: [...scenarios].map(([name, { does }]) => ({ name, does })),
  }))

  app.post(
    '/scenarios/:name',
    {
      schema: {
        params: ScenarioParams,
        querystring: ScenarioQuery,
      },
    },
    async (request) => {
      const ref = request.query.account
      const accounts =
        ref === undefined ? [...world.directory.accounts.values()] : [getAccount(world, ref)]
      const { name } = request.params
      if (!scenarios.has(name)) throw new UnknownScenario(`There is no scenario ${name}`)
      applyScenario(world, name, accounts)
      return { scenario: name, accounts: accounts.map(({ accountId }) => accountId) }
    },
  )
}
