import { pino } from 'pino'
import t from 'tap'
import { Forecasts } from '../src/accounts/forecast.ts'
import { openPostgres } from '../src/db/postgres.ts'
import { Secret } from '../src/vault/secret.ts'
import { insertAccounts, insertIntegrations } from './support/account-rows.ts'
import { createDatabase, query } from './support/database.ts'

t.test('forecast: the plan against the pace, accounts that come back, the backlog', async (t) => {
  const databaseUrl = await createDatabase(t)
  await insertIntegrations(databaseUrl, 'amocrm', 'kommo')
  await query(
    databaseUrl,
    `update amo_integrations set state = 'running', "pacePerSecond" = 0.01 where name = 'amocrm'`,
  )
  // Refreshed every 18 hours. 100 are two hours late, 30 are due in five and a half hours.
  await insertAccounts(databaseUrl, 130, {
    '"nextAttemptAt"': `now() + case when n <= 100 then '-2 hours' else '330 minutes' end::interval`,
  })
  // None of these is sent.
  await insertAccounts(databaseUrl, 5, { paused: 'true', '"nextAttemptAt"': 'now()' }, 2_000_000)
  await insertAccounts(
    databaseUrl,
    7,
    { integration: `'kommo'`, '"nextAttemptAt"': `now() - interval '1 minute'` },
    3_000_000,
  )
  const url = new Secret(databaseUrl)
  const database = openPostgres(url, url, pino({ level: 'silent' }))
  t.teardown(() => database.close())
  const forecasts = new Forecasts(database)
  const forecast = await forecasts.get()
  const [amocrm, kommo] = forecast.integrations
  t.match(amocrm, { integration: 'amocrm', backlog: 100, oldestDueSeconds: /^7[12]\d\d/ })
  const hours = amocrm?.hours ?? []
  t.equal(hours.length, 24)
  t.same(
    hours.slice(0, 6).map(({ due, capacity, backlog }) => [due, capacity, backlog]),
    [
      [0, 36, 64],
      [0, 36, 28],
      [0, 36, 0],
      [0, 36, 0],
      [0, 36, 0],
      [30, 36, 9],
    ],
    'the backlog goes first',
  )
  const hoursToClear = (Number(amocrm?.clearsAt) - forecast.at.getTime()) / 3_600_000
  t.ok(hoursToClear > 2.7 && hoursToClear < 2.9, `${hoursToClear} hours`)
  const later = hours.slice(18).reduce((sum, { due }) => sum + due, 0)
  t.ok(later >= 100 && later <= 130, `${later} come back after their period`)
  t.match(kommo, { state: 'paused', backlog: 7, clearsAt: null })
  t.equal(kommo?.hours.at(-1)?.backlog, 7, 'nothing is sent while it is paused')
  t.equal(await forecasts.get(), forecast, 'counted at most once a minute')
})
