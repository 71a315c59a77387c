import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { until } from '../support/broker.ts'
import { emit, makeEndpoint } from '../support/endpoints.ts'
import { answer } from '../support/receivers.ts'
import type { FaultStage } from './stage.ts'

/** A fault and the alert that it must raise. */
export interface Fault {
  alert: string
  /** Another objective may be missed on a busy machine. */
  slo?: string
  /** What happens, for the table. */
  what: string
  inject(stage: FaultStage): Promise<unknown> | unknown
  heal?(stage: FaultStage): Promise<unknown> | unknown
}

/** Each start must be seen by a scrape. */
const TWO_SCRAPES_MS = 2_000

const PAUSE = '/integrations/amocrm/pause'
const RESUME = '/integrations/amocrm/resume'

/** Stops sends of the integration, so that a state that refreshes would end lasts. */
const pause = (stage: FaultStage) => stage.broker.post(PAUSE, {})
const resume = (stage: FaultStage) => stage.broker.post(RESUME, {})

/** Puts the account back to the pair that it had two refreshes ago. */
async function restoreOldPair(stage: FaultStage, nth: number): Promise<void> {
  const { accountId } = stage.account(nth)
  await stage.sql(
    `create table yesterday as select * from amo_tokens where "accountId" = ${accountId}`,
  )
  // The response of the last refresh is still journaled, and would be committed again.
  await stage.refresh(nth)
  await stage.refresh(nth)
  await stage.sql(
    `update amo_tokens t set generation = y.generation, "accessToken" = y."accessToken",
       "refreshToken" = y."refreshToken", "refreshTokenFingerprint" = y."refreshTokenFingerprint",
       "refreshAt" = now(), "nextAttemptAt" = now()
     from yesterday y where t."accountId" = y."accountId"`,
  )
}

/** The faults of one step happen at the same time. The steps follow each other. */
export const STEPS: readonly Fault[][] = [
  [
    {
      alert: 'AmoPromiseBroken',
      what: 'a token dies at the provider, and a service reports its 401',
      async inject({ broker, sandbox, account }) {
        const { body } = await broker.get('/tokens/fleet-0')
        sandbox.world.grants.expire(account(0), ['access_token'])
        const report = () => broker.post('/tokens/fleet-0/refresh', { generation: body.generation })
        await until(async () => (await report()).status === 200)
      },
    },
    {
      alert: 'AmoAccountsLost',
      what: 'a customer revokes the access',
      async inject(stage) {
        stage.sandbox.world.grants.revoke(stage.account(1))
        await stage.makeDue(1)
      },
    },
    {
      alert: 'AmoChainBroken',
      what: 'the provider spends a refresh token and sends no response',
      async inject(stage) {
        const account = stage.account(2).subdomain
        const fault = { fault: 'silent_after_spend', endpoint: 'token', account, times: 1 } as const
        stage.sandbox.world.faults.add([fault])
        await stage.makeDue(2)
      },
    },
  ],
  [
    {
      alert: 'AmoRefreshTokenReuse',
      what: 'the row of an account is restored from an old backup',
      inject: (stage) => restoreOldPair(stage, 14),
    },
    {
      alert: 'AmoEndpointDisabled',
      what: 'a receiver of events answers 410',
      async inject({ broker, receiver, databaseUrl, account }) {
        receiver.respond(answer(410))
        await makeEndpoint(broker, { name: 'gone', url: receiver.origin })
        await emit(databaseUrl, account(0).accountId, 'account.connected')
        await until(async () => {
          const { body } = await broker.get('/endpoints/gone')
          return body.state === 'disabled'
        })
      },
    },
    {
      alert: 'AmoDeliveriesLate',
      what: 'a receiver of events answers 500 for a quarter of an hour',
      async inject({ broker, receiver, databaseUrl, account, sql }) {
        receiver.respond(answer(500))
        await makeEndpoint(broker, { name: 'failing', url: receiver.origin })
        await emit(databaseUrl, account(0).accountId, 'account.connected')
        await until(async () => {
          const late = await sql(
            `update amo_deliveries set "createdAt" = now() - interval '15 minutes'
             where state = 'pending' returning id`,
          )
          return late.length > 0
        })
      },
      heal: ({ receiver, sql }) => {
        receiver.respond(answer(200))
        return sql(`delete from amo_deliveries`)
      },
    },
  ],
  [
    {
      alert: 'AmoBreakerOpen',
      what: 'the provider answers 500 to every refresh',
      async inject(stage) {
        stage.sandbox.world.faults.add([{ fault: 'server_error', endpoint: 'token' }])
        for (const nth of [3, 4, 5]) await stage.makeDue(nth)
      },
      async heal(stage) {
        stage.sandbox.world.faults.set([])
        await resume(stage)
      },
    },
  ],
  [
    {
      alert: 'AmoPaceExhausted',
      what: 'the pace bucket is empty for long',
      inject: (stage) => stage.sql(`update amo_integrations set "paceTokens" = -1000000`),
      heal: (stage) => stage.sql(`update amo_integrations set "paceTokens" = 100`),
    },
    {
      alert: 'AmoRefreshesLate',
      what: 'an integration is paused while refreshes are due',
      async inject(stage) {
        await pause(stage)
        await stage.sql(
          `update amo_tokens set "refreshAt" = now() - interval '20 minutes',
             "nextAttemptAt" = now() - interval '20 minutes' where status = 'active'`,
        )
      },
      async heal(stage) {
        await stage.sql(
          `update amo_tokens set "refreshAt" = now() + interval '5 hours',
             "nextAttemptAt" = now() + interval '5 hours' where status = 'active'`,
        )
        await resume(stage)
      },
    },
    {
      alert: 'AmoInboxStuck',
      what: '25 callbacks wait',
      inject: (stage) =>
        stage.sql(
          `insert into amo_inbox (kind, origin, integration, fingerprint, "nextAttemptAt")
           select 'callback', 'install', 'amocrm', 'waiting ' || n, now() + interval '1 hour'
           from generate_series(1, 25) n`,
        ),
      heal: (stage) => stage.sql(`delete from amo_inbox where fingerprint like 'waiting %'`),
    },
    {
      alert: 'AmoAuditBehind',
      what: 'audit rows are not sealed, because another session locks the head',
      async inject(stage) {
        await stage.lock('select from amo_audit_head for update')
        // Before every other row: the other faults of the group write some at the same time.
        await stage.sql(
          `insert into amo_audit (id, actor, action, outcome, at) overriding system value
           select min(id) - 1, 'operator', 'listAccounts', 'done', now() - interval '10 minutes'
           from amo_audit`,
        )
      },
      heal: (stage) => stage.unlock(),
    },
    {
      alert: 'AmoEventsLate',
      what: 'events get no position, because another session locks the head',
      async inject(stage) {
        await stage.lock('select from amo_event_head for update')
        await stage.sql(
          `insert into amo_events (type, integration, state, at)
           values ('integration.paused', 'amocrm', 'paused', now() - interval '5 minutes')`,
        )
      },
    },
    {
      alert: 'AmoEscrowBehind',
      what: 'the directory of the escrow cannot be written to',
      async inject({ escrow, sql, account }) {
        renameSync(escrow, `${escrow}.away`)
        writeFileSync(escrow, '')
        await sql(`update amo_tokens set paused = true where "accountId" = $1`, [
          account(17).accountId,
        ])
        await sql(`update amo_escrow_changes set "changedAt" = now() - interval '10 minutes'`)
      },
      heal({ escrow }) {
        rmSync(escrow)
        renameSync(`${escrow}.away`, escrow)
      },
    },
  ],
  [
    {
      alert: 'AmoClaimsUnresolved',
      what: 'a send has no clear result, and the integration is paused',
      async inject(stage) {
        const account = stage.account(6).subdomain
        const fault = { fault: 'silent', endpoint: 'token', account } as const
        stage.sandbox.world.faults.add([fault])
        await stage.makeDue(6)
        await stage.untilSent(6)
        await pause(stage)
      },
      async heal(stage) {
        stage.sandbox.world.faults.set([])
        await resume(stage)
      },
    },
  ],
  [
    {
      alert: 'AmoResponsesNotCommitted',
      what: 'PostgreSQL goes away between a response and its commit',
      async inject(stage) {
        const account = stage.account(3).subdomain
        const fault = { fault: 'delay_after_spend', delay_ms: 1500, account, endpoint: 'token' }
        stage.sandbox.world.faults.add([fault as { fault: string }])
        await stage.makeDue(3)
        await stage.untilSent(3)
        stage.postgres.set('hang')
      },
    },
    {
      alert: 'AmoStorageNotWritable',
      what: 'PostgreSQL does not answer',
      inject: (stage) => stage.postgres.set('hang'),
    },
    {
      alert: 'AmoBudgetBurnsFast',
      slo: 'availability',
      what: 'reads get 503, because PostgreSQL does not answer',
      inject: (stage) => stage.postgres.set('hang'),
    },
    {
      alert: 'AmoBudgetBurnsSlowly',
      slo: 'availability',
      what: 'the same, over the longer windows',
      inject: (stage) => stage.postgres.set('hang'),
      heal(stage) {
        stage.sandbox.world.faults.set([])
        stage.postgres.set('pass')
      },
    },
  ],
  [
    {
      alert: 'AmoNotificationsLate',
      what: 'LISTEN is black-holed',
      inject: (stage) => stage.listen.set('hang'),
      heal: (stage) => stage.listen.set('pass'),
    },
    {
      alert: 'AmoRedisDown',
      what: 'Redis does not answer',
      inject: (stage) => stage.redis.set('refuse'),
    },
    {
      alert: 'AmoJournalDegraded',
      what: 'the folder of the journal cannot be written to',
      inject({ broker }) {
        const folder = join(broker.dataDir, 'spool')
        renameSync(folder, `${folder}.away`)
        writeFileSync(folder, '')
      },
    },
    {
      alert: 'AmoSendsWithoutCopy',
      what: 'an account nears its expiry while disk and Redis are away',
      inject: (stage) =>
        stage.sql(
          `update amo_tokens set "expiresAt" = now() + interval '4 seconds', "refreshAt" = now(),
             "nextAttemptAt" = now() where "accountId" = $1`,
          [stage.account(5).accountId],
        ),
      heal({ broker, redis }) {
        const folder = join(broker.dataDir, 'spool')
        rmSync(folder)
        mkdirSync(folder, { recursive: true })
        redis.set('pass')
      },
    },
  ],
  [
    {
      alert: 'AmoPoolExhausted',
      what: 'another session locks a table that many requests read',
      async inject(stage) {
        await stage.lock('lock table amo_connect_links, amo_inbox in access exclusive mode')
        stage.flood('/onboardings', 40)
      },
      async heal(stage) {
        stage.endFlood()
        await stage.unlock()
      },
    },
  ],
  [
    {
      alert: 'AmoIntegrationHalted',
      what: 'many grants are refused at once: the mass guard',
      async inject(stage) {
        for (let nth = 7; nth < 14; nth += 1) {
          stage.sandbox.world.grants.revoke(stage.account(nth))
          await stage.makeDue(nth)
        }
      },
    },
    {
      alert: 'AmoIntegrationRefused',
      what: 'somebody changes the redirect URI of the integration in the database',
      inject: (stage) =>
        stage.sql(
          `update amo_integrations set "redirectUri" = "redirectUri" || '/x' where name = 'amocrm'`,
        ),
      heal: (stage) =>
        stage.sql(
          `update amo_integrations set "redirectUri" = left("redirectUri", -2) where name = 'amocrm'`,
        ),
    },
  ],
  [
    {
      alert: 'AmoTokensEnding',
      what: 'a refresh token has three days left (looked at every ten minutes, and at a start)',
      inject: (stage) =>
        stage.sql(
          `update amo_tokens set "refreshTokenExpiresAt" = now() + interval '3 days'
           where "accountId" = $1`,
          [stage.account(15).accountId],
        ),
    },
    {
      alert: 'AmoKeyMissing',
      what: 'a token is sealed under a key that is not loaded (the same)',
      inject: (stage) =>
        stage.sql(
          `update amo_tokens set "accessToken" = regexp_replace("accessToken", '^[^.]+', 'lost')
           where "accountId" = $1`,
          [stage.account(16).accountId],
        ),
    },
    {
      alert: 'AmoHistoryViolations',
      what: 'the daily check finds the restored row',
      inject: (stage) =>
        stage.sql(`update amo_history_check set "startedAt" = now() - interval '2 days'`),
    },
    {
      alert: 'AmoSendingPaused',
      what: 'the process is started with HOLD_SENDS',
      inject: (stage) => stage.restart({ HOLD_SENDS: 'true' }),
    },
  ],
  [
    {
      alert: 'AmoHistoryNotChecked',
      what: 'the daily check has not ended for three days (looked at every ten minutes, and at a start)',
      inject: (stage) =>
        stage.sql(
          `update amo_history_check set "startedAt" = now(), "finishedAt" = now() - interval '3 days'`,
        ),
    },
    {
      alert: 'AmoBrokerRestarts',
      what: 'the process is killed four times',
      async inject(stage) {
        for (let times = 0; times < 4; times += 1) {
          await stage.restart()
          await delay(TWO_SCRAPES_MS)
        }
      },
    },
  ],
  [
    {
      alert: 'AmoReplicaDown',
      what: 'the process is stopped (SIGSTOP)',
      inject: ({ broker }) => broker.process.kill('SIGSTOP'),
      heal: ({ broker }) => broker.process.kill('SIGCONT'),
    },
  ],
  [
    {
      alert: 'AmoBrokerDown',
      what: 'the only replica is killed',
      inject: ({ broker }) => broker.stop('SIGKILL'),
    },
  ],
]
