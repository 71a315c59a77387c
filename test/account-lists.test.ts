import { pino } from 'pino'
import t from 'tap'
import { ENDING_CODES, endingOf } from '../src/accounts/expiry-watch.ts'
import { searchVector, wordsOf } from '../src/accounts/label-words.ts'
import { findAccounts } from '../src/accounts/list.ts'
import {
  ACCOUNT_ORDERS,
  type AccountFilter,
  type AccountOrder,
  type Position,
} from '../src/accounts/list-keys.ts'
import type { AccountState } from '../src/accounts/store.ts'
import { openPostgres } from '../src/db/postgres.ts'
import type { Grant } from '../src/db/tables/access.ts'
import { Secret } from '../src/vault/secret.ts'
import { insertAccounts, insertIntegrations } from './support/account-rows.ts'
import { createDatabase, query } from './support/database.ts'

type Filter = AccountFilter & { q?: string }

const STATUSES = ['active', 'pending', 'reauth_required', 'disconnected'] as const

async function openFleet() {
  const databaseUrl = await createDatabase(t)
  await insertIntegrations(databaseUrl, 'amocrm', 'kommo', 'spare')
  // Every combination of the columns that lists look at, with equal times among them.
  await insertAccounts(databaseUrl, 900, {
    integration: `case when n % 3 = 0 then 'kommo' else 'amocrm' end`,
    status: `(array['active', 'active', 'pending', 'reauth_required', 'disconnected'])[1 + n % 5]`,
    kind: `case when n % 11 = 0 then 'long_lived' else 'oauth' end`,
    '"nextAttemptAt"': `case when n % 7 <> 0 then now() + (n % 40) * interval '1 minute' end`,
    '"expiresAt"': `now() + (n % 30) * interval '1 day' + interval '1 minute'`,
    '"refreshTokenExpiresAt"': `now() + (n % 50) * interval '1 day' + interval '1 minute'`,
    '"lastErrorCode"': `(array[null, 'spent_elsewhere', null, 'server_error', null, null])[1 + n % 6]`,
    '"lastErrorAt"': 'now()',
    shadow: 'n % 13 = 0',
    paused: 'n % 17 = 0',
  })
  const labels = new Map([
    [1_000_001, 'ООО «Ромашка»'],
    [1_000_002, 'Acme & Söhne, Berlin'],
    [1_000_004, 'acme moscow'],
  ])
  for (const [id, label] of labels) {
    await query(
      databaseUrl,
      `insert into amo_account_labels (integration, "accountId", label, words)
       values ('amocrm', $1, $2, $3::tsvector)`,
      [id, label, searchVector(label)],
    )
  }
  const url = new Secret(databaseUrl)
  const database = openPostgres(url, url, pino({ level: 'silent' }))
  t.teardown(() => database.close())
  return { databaseUrl, db: database.db }
}

/** The filter, in other words than SQL. */
function fits(account: AccountState, filter: Filter): boolean {
  const { status, integration, error, warning, isShadow, isPaused, q, grants } = filter
  const ending = endingOf(account, Date.now())?.code
  const host = q?.toLowerCase()
  const words = account.label === null ? [] : wordsOf(account.label)
  const isFound =
    host === undefined ||
    account.domain?.startsWith(host) ||
    (/^\d+$/.test(host) && String(account.accountId).startsWith(host)) ||
    (wordsOf(host).length > 0 &&
      wordsOf(host).every((wanted) => words.some((word) => word.startsWith(wanted))))
  return (
    (status === undefined || account.status === status) &&
    (integration === undefined || account.integration === integration) &&
    (error === undefined ||
      (error === 'any' ? account.lastErrorCode !== null : account.lastErrorCode === error)) &&
    (warning === undefined || (warning === 'any' ? ending !== undefined : ending === warning)) &&
    (isShadow === undefined || account.shadow === isShadow) &&
    (isPaused === undefined || account.paused === isPaused) &&
    Boolean(isFound) &&
    (grants === undefined ||
      grants.some(
        (grant) =>
          grant.integration === account.integration &&
          (grant.accountId === null || grant.accountId === account.accountId),
      ))
  )
}

function sorted(accounts: AccountState[], order: AccountOrder = 'account'): string[] {
  const timeOf = (account: AccountState) =>
    order === 'account'
      ? 0
      : ((order === 'expiry' ? account.expiresAt : account.nextAttemptAt)?.getTime() ?? Infinity)
  const compare = (a: AccountState, b: AccountState) => {
    const [one, two] = [timeOf(a), timeOf(b)]
    if (one !== two) return one < two ? -1 : 1
    if (a.integration !== b.integration) return a.integration < b.integration ? -1 : 1
    return a.accountId - b.accountId
  }
  return accounts.toSorted(compare).map(name)
}

const name = ({ integration, accountId }: AccountState) => `${integration}/${accountId}`

t.test('GET /accounts: every filter, order and page is right', async (t) => {
  const { db } = await openFleet()
  const read = async (filter: Filter, limit: number, maxCollected?: number) => {
    const all: AccountState[] = []
    let after: Position | undefined
    do {
      const page = await findAccounts(db, { ...filter, after }, limit, maxCollected)
      t.ok(page.accounts.length <= limit)
      all.push(...page.accounts)
      after = page.next
    } while (after !== undefined)
    return all
  }
  const everything = await read({}, 1_000)
  t.equal(everything.length, 900)

  const check = async (filter: Filter, limit = 37, maxCollected?: number) => {
    const found = await read(filter, limit, maxCollected)
    const wanted = sorted(
      everything.filter((account) => fits(account, filter)),
      filter.order,
    )
    t.same(found.map(name), wanted, JSON.stringify({ ...filter, limit, maxCollected }))
    return wanted.length
  }

  await t.test('one by one', async () => {
    const filters: Filter[] = [
      {},
      ...STATUSES.map((status) => ({ status })),
      { integration: 'kommo' },
      { integration: 'spare' },
      { integration: 'missing' },
      { error: 'any' },
      { error: 'spent_elsewhere' },
      { error: 'never_heard_of' },
      { warning: 'any' },
      ...ENDING_CODES.map((warning) => ({ warning })),
      { isShadow: true },
      { isShadow: false },
      { isPaused: true },
    ]
    let count = 0
    for (const filter of filters) {
      for (const order of ACCOUNT_ORDERS) count += await check({ ...filter, order })
    }
    t.ok(count > 5_000)
  })

  await t.test('search: ids, domains, labels, and nothing that looks like SQL', async (t) => {
    t.equal(await check({ q: '1000001' }), 1)
    t.equal(await check({ q: '10001' }), 100)
    t.equal(await check({ q: 'Shop-1000001.amocrm.ru' }), 1)
    t.equal(await check({ q: 'shop-10000' }), 99)
    t.equal(await check({ q: 'ромаш' }), 1)
    t.equal(await check({ q: 'ACME' }), 2)
    t.equal(await check({ q: 'acme ber' }), 1)
    t.equal(await check({ q: 'söh' }), 1)
    for (const q of ['%', '_', '\\', "'", ':*', '& |', 'q%', '<x>']) t.equal(await check({ q }), 0)
    const { accounts } = await findAccounts(db, { q: 'https://shop-1000007.amocrm.ru/leads?x' }, 5)
    t.match(accounts, [{ accountId: 1_000_007 }], 'an address from the browser')
    for (const maxCollected of [1, 50]) {
      t.equal(await check({ q: '10002' }, 37, maxCollected), 100, 'ids from their ranges')
      t.equal(await check({ q: '1' }, 400, maxCollected), 900)
      t.equal(await check({ q: 'shop-10001' }, 37, maxCollected), 100, 'the list is walked')
    }
    t.equal(await check({ q: 'shop', status: 'pending', order: 'expiry' }), 180)
  })

  await t.test('combined at random', async () => {
    let seed = 20_261_126
    const random = (below: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31
      return Math.floor((seed / 2 ** 31) * below)
    }
    const pick = <T>(values: readonly T[]) => values[random(values.length)]
    const maybe = <T>(key: string, values: readonly T[]) =>
      random(3) === 0 ? { [key]: pick(values) } : {}
    const grants: Grant[] = [
      { integration: 'kommo', accountId: null },
      ...[1, 2, 4, 5, 61, 102, 500].map((n) => ({
        integration: 'amocrm',
        accountId: 1_000_000 + n,
      })),
      { integration: 'kommo', accountId: 1_000_003 },
    ]
    for (let round = 0; round < 150; round += 1) {
      await check(
        {
          ...maybe('status', STATUSES),
          ...maybe('integration', ['amocrm', 'kommo']),
          ...maybe('error', ['any', 'spent_elsewhere', 'server_error']),
          ...maybe('warning', ['any', ...ENDING_CODES]),
          ...maybe('isShadow', [true, false]),
          ...maybe('isPaused', [true, false]),
          ...maybe('order', ACCOUNT_ORDERS),
          ...maybe('q', ['shop-10001', '100002', 'acme', '100', '10000']),
          ...(random(3) === 0 ? { grants: pick([grants, grants.slice(1), []]) ?? [] } : {}),
        },
        1 + random(120),
        // Ids are read from their ranges, or the list is walked.
        pick([undefined, 50, 1]),
      )
    }
  })
})
