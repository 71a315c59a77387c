import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import {
  deploymentOf,
  OPERATOR_KEY,
  startBroker,
  type TestBroker,
  type TestSandbox,
  until,
} from '../support/broker.ts'
import { makeClient } from '../support/clients.ts'
import { query, redisUrl } from '../support/database.ts'
import { createDatabaseWithAccounts } from '../support/database-with-accounts.ts'
import { PRIVATE } from '../support/endpoints.ts'
import { startProxy, type TcpProxy } from '../support/proxy.ts'
import { type Receiver, startReceiver } from '../support/receivers.ts'
import type { TeardownScope } from '../support/teardown-scope.ts'

const ACCOUNTS = 18
const READS_PER_SECOND = 20
const READ_LIMIT_MS = 2_000

/** A broker with accounts, behind proxies, that reads keep busy. */
export interface FaultStage {
  /** The broker that was started last. */
  broker: TestBroker
  sandbox: TestSandbox
  databaseUrl: string
  postgres: TcpProxy
  /** The connection of LISTEN. */
  listen: TcpProxy
  redis: TcpProxy
  /** Takes events. */
  receiver: Receiver
  /** The directory of the escrow. */
  escrow: string
  monitorKey: string
  /** Returns the account of the sandbox with the subdomain `fleet-<nth>`. */
  account(nth: number): SandboxAccount
  makeDue(nth: number): Promise<void>
  /** Makes the account due, and waits until it has another pair. */
  refresh(nth: number): Promise<void>
  /** Waits until the refresh token of the account was sent. */
  untilSent(nth: number): Promise<void>
  sql(text: string, values?: unknown[]): Promise<Record<string, unknown>[]>
  /** Runs a statement in a transaction that stays open until `unlock`. */
  lock(statement: string): Promise<void>
  unlock(): Promise<void>
  /** Keeps this many requests of a path open, until `endFlood`. */
  flood(path: string, count: number): void
  endFlood(): void
  /** Kills the broker and starts another process with these settings besides its own. */
  restart(env?: Record<string, string>): Promise<void>
}

type SandboxAccount = NonNullable<ReturnType<TestSandbox['world']['directory']['accounts']['get']>>

/** Starts the broker and the callers. */
export async function startStage(scope: TeardownScope): Promise<FaultStage> {
  const { databaseUrl, sandbox, ports } = await createDatabaseWithAccounts(scope, ACCOUNTS)
  const [postgres, listen, redis, receiver] = await Promise.all([
    startProxy(scope, databaseUrl),
    startProxy(scope, databaseUrl),
    startProxy(scope, redisUrl()),
    startReceiver(scope),
  ])
  const folder = mkdtempSync(join(tmpdir(), 'amo-alerts-'))
  scope.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const escrow = join(folder, 'escrow')
  const start = (env: Record<string, string>) =>
    startBroker(scope, {
      databaseUrl: postgres.url,
      deploymentId: deploymentOf(databaseUrl),
      redis: redis.url,
      sandbox,
      ports,
      dataDir: join(folder, 'data'),
      ownProcess: true,
      env: {
        ...PRIVATE,
        DATABASE_DIRECT_URL: listen.url,
        ESCROW_URL: `file://${escrow}`,
        LOG_LEVEL: 'info',
        SEND_LIMIT_MS: '2000',
        SETTLE_MS: '1000',
        MIN_REST_MS: '5000',
        // Every read asks PostgreSQL, so that its loss is seen at once.
        CACHE_ACCOUNTS: '0',
        ...env,
      },
    })
  const broker = await start({})
  const sql: FaultStage['sql'] = (text, values) => query(databaseUrl, text, values)
  const locks: pg.Client[] = []
  let isFlooding = false
  const stage: FaultStage = {
    broker,
    sandbox,
    databaseUrl,
    postgres,
    listen,
    redis,
    receiver,
    escrow,
    monitorKey: await makeClient(broker, 'prometheus', 'monitor'),
    account(nth) {
      const all = [...sandbox.world.directory.accounts.values()]
      const found = all.find(({ subdomain }) => subdomain === `fleet-${nth}`)
      if (found === undefined) throw new Error(`no account fleet-${nth}`)
      return found
    },
    sql,
    async makeDue(nth) {
      await sql(
        `update amo_tokens set "refreshAt" = now(), "nextAttemptAt" = now(), "failedAttempts" = 0
         where "accountId" = $1`,
        [this.account(nth).accountId],
      )
    },
    async refresh(nth) {
      const { accountId } = this.account(nth)
      const generation = async () => {
        const rows = await sql('select generation from amo_tokens where "accountId" = $1', [
          accountId,
        ])
        return rows[0]?.generation
      }
      const before = await generation()
      await this.makeDue(nth)
      await until(async () => (await generation()) !== before)
    },
    async untilSent(nth) {
      await until(async () => {
        const rows = await sql(
          `select from amo_refresh_attempts
           where "accountId" = $1 and "sentAt" is not null and "finishedAt" is null`,
          [this.account(nth).accountId],
        )
        return rows.length > 0
      })
    },
    async lock(statement) {
      const client = new pg.Client({ connectionString: databaseUrl })
      await client.connect()
      locks.push(client)
      await client.query('begin')
      await client.query(statement)
    },
    async unlock() {
      await Promise.all(locks.splice(0).map((client) => client.end()))
    },
    flood(path, count) {
      isFlooding = true
      const ask = async () => {
        while (isFlooding) await stage.broker.get(path).catch(() => {})
      }
      for (let nth = 0; nth < count; nth += 1) void ask()
    },
    endFlood() {
      isFlooding = false
    },
    async restart(env = {}) {
      await stage.broker.stop('SIGKILL')
      stage.broker = await start(env)
    },
  }
  scope.teardown(() => stage.unlock())
  scope.teardown(() => stage.endFlood())
  keepReading(scope, stage)
  return stage
}

/** Reads tokens until the run ends. A broker that is stopped answers nothing. */
function keepReading(scope: TeardownScope, stage: FaultStage): void {
  let nth = 0
  const timer = setInterval(() => {
    nth += 1
    const path = `/tokens/fleet-${nth % 6}`
    const headers = { authorization: `Bearer ${OPERATOR_KEY}` }
    fetch(`${stage.broker.url}${path}`, { headers, signal: AbortSignal.timeout(READ_LIMIT_MS) })
      .then((response) => response.arrayBuffer())
      .catch(() => {})
  }, 1_000 / READS_PER_SECOND)
  scope.teardown(() => clearInterval(timer))
}
