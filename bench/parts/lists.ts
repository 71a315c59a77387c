import { query } from '../../test/support/database.ts'
import type { Figure } from '../figures.ts'
import { percentile } from '../figures.ts'
import { startBroker } from '../servers.ts'
import { makeWorld, signIn } from '../world.ts'
import type { Part } from './part.ts'

const ACCOUNTS = 1_000_000
const WORKING_SET = 100
const TIMES = 20
const WARM_UP = 50
const MAX_MS = 50
const MAX_PAGE_MS = 200

/**
 * Every filter and order, rare and frequent, the pages in the middle of a list, and what the
 * console shows. Rare and frequent accounts are spread evenly, and those with an error are due at
 * once.
 */
const LISTS = [
  '/accounts',
  '/accounts?status=active',
  '/accounts?status=reauth_required&order=expiry',
  '/accounts?status=disconnected&order=next_refresh',
  '/accounts?status=pending&integration=bench',
  '/accounts?order=next_refresh',
  '/accounts?order=expiry',
  '/accounts?order=expiry&after=bench/60500000/1795400000000000',
  '/accounts?error=any',
  '/accounts?error=spent_elsewhere&order=next_refresh',
  '/accounts?error=rare_code&status=active',
  '/accounts?warning=any&order=expiry',
  '/accounts?paused=true',
  '/accounts?shadow=true&order=expiry',
  '/accounts?q=60123456',
  '/accounts?q=601',
  '/accounts?q=b777',
  '/accounts?q=b7&status=reauth_required&order=expiry',
  '/accounts?q=romashka',
  '/accounts?q=customer%20977',
]

const OTHERS = [
  ['GET /accounts/:account/attempts', '/accounts/60000003/attempts'],
  ['GET /accounts/:account/readers', '/accounts/60000003/readers'],
  ['GET /health/accounts', '/health/accounts'],
  ['GET /clean-up', '/clean-up?older_than_days=90'],
] as const

/** Measures lists, forecast and pages of the console at a million accounts. */
export const lists: Part = {
  name: 'lists',
  title: `Lists of ${ACCOUNTS.toLocaleString('en')} accounts`,
  async run(scope, bench) {
    bench.say(`  a database with ${ACCOUNTS.toLocaleString('en')} accounts`)
    const bystanders = ACCOUNTS - WORKING_SET
    const world = await makeWorld(scope, { ...bench, accounts: WORKING_SET, bystanders })
    await varyAccounts(world.databaseUrl)
    const { origin } = await startBroker(scope, world)
    const headers = { authorization: `Bearer ${world.operatorKey}` }
    const timeOf = async (path: string, sent: Record<string, string> = headers) => {
      const beganMs = performance.now()
      const response = await fetch(origin + path, { headers: sent })
      const tookMs = performance.now() - beganMs
      const text = await response.text()
      if (response.status !== 200) throw new Error(`${path}: ${response.status} ${text}`)
      return tookMs
    }
    const measure = async (name: string, path: string, limit: number, sent = headers) => {
      await timeOf(path, sent)
      const values: number[] = []
      for (let time = 0; time < TIMES; time += 1) values.push(await timeOf(path, sent))
      const p95 = percentile(values, 95)
      return { name, values: [p95], unit: ' ms', target: { is: 'at most', value: limit } as const }
    }
    const figures: Figure[] = []
    // The first forecast counts the plan, the others are from memory.
    figures.push({
      name: 'GET /forecast, the first one',
      values: [await timeOf('/forecast')],
      unit: ' ms',
      target: { is: 'at most', value: MAX_PAGE_MS },
    })
    // Otherwise the first list would pay for what all of them share: Node compiles code in use.
    for (let time = 0; time < WARM_UP; time += 1) await timeOf('/accounts')
    for (const path of LISTS) figures.push(await measure(`GET ${path}`, path, MAX_MS))
    for (const [name, path] of OTHERS) figures.push(await measure(name, path, MAX_PAGE_MS))
    figures.push(await measure('GET /forecast', '/forecast', MAX_PAGE_MS))
    const cookie = await signIn(origin, world.operatorKey)
    for (const path of [
      '/console',
      '/console/accounts',
      '/console/accounts?status=reauth_required&order=expiry',
      '/console/accounts?q=romashka',
      '/console/accounts/bench/60000003',
      '/console/clean',
    ]) {
      figures.push(await measure(`first byte of ${path}`, path, MAX_PAGE_MS, { cookie } as never))
    }
    return figures.map((figure) => ({ ...figure, name: `${figure.name} (p95)` }))
  },
}

/** Gives some accounts other states, errors, flags and labels. */
async function varyAccounts(databaseUrl: string): Promise<void> {
  await query(databaseUrl, 'alter table amo_tokens disable trigger user')
  await query(
    databaseUrl,
    `update amo_tokens t set
      status = case when n % 100 = 3 then 'reauth_required' when n % 1000 = 4 then 'disconnected'
        when n % 5000 = 5 then 'pending' else status end,
      "lastErrorCode" = case when n % 100 = 3 then 'spent_elsewhere' when n % 100000 = 6 then 'rare_code' end,
      "lastErrorAt" = case when n % 100 = 3 or n % 100000 = 6 then now() end,
      "statusSince" = now() - interval '100 days',
      paused = n % 50000 = 7, shadow = n % 20000 = 8,
      "refreshTokenExpiresAt" = now() + case when n % 3000 = 9 then '5 days' else '80 days' end::interval,
      "expiresAt" = now() + n % 86400 * interval '1 second'
    from (select integration, "accountId", "accountId" - 60000000 as n from amo_tokens
      where "accountId" > 60000000) other
    where t.integration = other.integration and t."accountId" = other."accountId"
      and (n % 100 in (3, 4, 5, 6, 7, 8, 9) or n % 3 = 0)`,
  )
  await query(databaseUrl, 'alter table amo_tokens enable trigger user')
  await query(
    databaseUrl,
    `insert into amo_account_labels (integration, "accountId", label, words)
     select integration, "accountId", 'Customer ' || "accountId" % 1000 || ' Romashka',
       ('''customer'' ''' || "accountId" % 1000 || ''' ''romashka''')::tsvector
     from amo_tokens where "accountId" % 50 = 1`,
  )
  await query(databaseUrl, 'select amo_recount_accounts()')
  await query(databaseUrl, 'vacuum analyze')
}
