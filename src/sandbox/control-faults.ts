import createError from '@fastify/error'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { BooksQuery, FaultList, StatsQuery } from './control-schemas.ts'
import type { Account } from './directory.ts'
import { domainOf } from './directory.ts'
import { getAccount } from './lookup.ts'
import { snakeKeys } from './wire.ts'
import type { World } from './world.ts'

const UnknownFault = createError('SANDBOX_UNKNOWN_FAULT', '%s', 400)

// A torture run reads on from `next_since`. A page of this size stays below a few megabytes.
const BOOKS_PAGE = 10_000

/** Registers the routes for faults, and for the books and counters that show their effects. */
export const controlFaults: FastifyPluginAsyncTypebox<{ world: World }> = async (
  app,
  { world },
) => {
  app.get('/faults', async () => listFaults())

  app.put('/faults', { schema: { body: FaultList } }, async (request) => {
    orUnknown(() => world.faults.set(request.body))
    return listFaults()
  })

  app.post('/faults', { schema: { body: FaultList } }, async (request) => {
    orUnknown(() => world.faults.add(request.body))
    return listFaults()
  })

  app.delete('/faults', async () => {
    world.faults.clear()
    return listFaults()
  })

  app.get('/books', { schema: { querystring: BooksQuery } }, async (request) => {
    const { account: ref, since = 0, limit = BOOKS_PAGE } = request.query
    const accountId = ref === undefined ? undefined : getAccount(world, ref).accountId
    const entries = world.books.list(since, limit, accountId)
    const last = entries.length < limit ? world.books.lastSeq() : entries.at(-1)?.seq
    return { entries: entries.map(snakeKeys), next_since: last ?? since }
  })

  app.delete('/books', async (_request, reply) => {
    world.books.clear()
    return reply.code(204).send()
  })

  app.get('/stats', { schema: { querystring: StatsQuery } }, async (request) => {
    const { account: ref, accounts: isAll = false } = request.query
    const totals = snakeKeys(world.books.totals)
    if (ref !== undefined) return { ...totals, accounts: [statsOf(getAccount(world, ref))] }
    if (!isAll) return totals
    return { ...totals, accounts: [...world.directory.accounts.values()].map(statsOf) }
  })

  function statsOf(account: Account) {
    return {
      account_id: account.accountId,
      domain: domainOf(account),
      ...snakeKeys(world.books.countersOf(account.key)),
      current: world.grants.currentPairs(account).map(snakeKeys),
    }
  }

  function listFaults() {
    const faults = world.faults.list().map(({ spec, remaining, fired }) => ({
      ...spec,
      remaining: Number.isFinite(remaining) ? remaining : null,
      fired,
    }))
    return { faults }
  }
}

function orUnknown(act: () => void): void {
  try {
    act()
  } catch (error) {
    throw new UnknownFault(error instanceof Error ? error.message : 'unknown fault')
  }
}
