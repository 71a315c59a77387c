import type { Test } from 'tap'
import {
  type BrokerOptions,
  connectAccount,
  startBroker,
  startSandbox,
  type TestBroker,
  type TestSandbox,
  until,
} from './broker.ts'
import { createDatabase, query } from './database.ts'
import { freePorts } from './ports.ts'

export interface Stage {
  broker: TestBroker
  sandbox: TestSandbox
  databaseUrl: string
  /** Makes the account's token due for its rotation, and waits for nothing. */
  makeDue(account?: number): Promise<void>
  row(): Promise<Record<string, unknown>>
  attempts(): Promise<Record<string, unknown>[]>
}

/** One broker, one sandbox, one database; the account "demo" connected unless `connect` is false. */
export async function setStage(
  t: Test,
  options: Omit<BrokerOptions, 'sandbox' | 'ports'> & {
    connect?: boolean
    sandbox?: Parameters<typeof startSandbox>[1]
  } = {},
): Promise<Stage> {
  const { connect = true, sandbox: sandboxOptions, ...rest } = options
  const databaseUrl = options.databaseUrl ?? (await createDatabase(t))
  const [internal = 0, open = 0] = await freePorts(2)
  const sandbox = await startSandbox(t, { ...sandboxOptions, publicPort: open })
  const broker = await startBroker(t, { ...rest, databaseUrl, sandbox, ports: [internal, open] })
  if (connect) await connectAccount(broker)
  return {
    broker,
    sandbox,
    databaseUrl,
    async makeDue(account) {
      await query(
        databaseUrl,
        `update amo_tokens set "refreshAt" = now(), "nextAttemptAt" = now(), "failedAttempts" = 0
         where $1::bigint is null or "accountId" = $1`,
        [account ?? null],
      )
    },
    async row() {
      const [row] = await query(
        databaseUrl,
        `select *, generation::int, "accountId"::int, "nextAttemptAt" > now() as "isLater" from amo_tokens`,
      )
      return row ?? {}
    },
    attempts: () =>
      query(
        databaseUrl,
        `select outcome, "outcomeCode", "sendCount", "parkedPair" is not null as parked
         from amo_refresh_attempts order by id`,
      ),
  }
}

/** The account after its next refresh attempt has ended, whichever way. */
export async function afterAttempt(
  stage: Stage,
  attempts: number,
): Promise<Record<string, unknown>> {
  await until(async () => {
    const all = await stage.attempts()
    return all.length >= attempts && all.every(({ outcome }) => outcome !== null)
  }, 30_000)
  return stage.row()
}

/** No token of the run may have been presented again unless it was proved unspent. */
export function presentedOnce(t: Test, { sandbox }: Pick<Stage, 'sandbox'>): void {
  t.equal(sandbox.world.books.totals.presentedAgain, 0, 'no refresh token was presented again')
  t.equal(sandbox.world.books.totals.reusedRefreshTokens, 0, 'no spent one was presented')
}
