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

export interface BrokerWithSandbox {
  broker: TestBroker
  sandbox: TestSandbox
  databaseUrl: string
  /**
   * Generation of the account "demo" when it was connected. It is not always 1: after a gap in
   * LISTEN the generations go on a million higher. 0 when no account was connected.
   */
  connectedAs: number
  /** Makes the token of one account due for a refresh, or of all accounts. Does not wait for it. */
  makeDue(account?: number): Promise<void>
  row(): Promise<Record<string, unknown>>
  attempts(): Promise<Record<string, unknown>[]>
}

/**
 * Starts a sandbox and a broker on a new database. The account "demo" is connected unless `connect`
 * is false.
 */
export async function startBrokerWithSandbox(
  t: Test,
  options: Omit<BrokerOptions, 'sandbox' | 'ports'> & {
    connect?: boolean
    sandbox?: Parameters<typeof startSandbox>[1]
  } = {},
): Promise<BrokerWithSandbox> {
  const { connect = true, sandbox: sandboxOptions, ...rest } = options
  const databaseUrl = options.databaseUrl ?? (await createDatabase(t))
  const [internal = 0, open = 0] = await freePorts(2)
  const sandbox = await startSandbox(t, { ...sandboxOptions, publicPort: open })
  const broker = await startBroker(t, { ...rest, databaseUrl, sandbox, ports: [internal, open] })
  if (connect) await connectAccount(broker)
  return {
    broker,
    connectedAs: connect ? await generationOf(databaseUrl) : 0,
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
        `select *, generation::float8, "accountId"::int, "nextAttemptAt" > now() as "isLater" from amo_tokens`,
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

/** Returns the generation of the only account of the database. */
export async function generationOf(databaseUrl: string): Promise<number> {
  const [row] = await query(databaseUrl, 'select generation::float8 from public.amo_tokens')
  return Number(row?.generation)
}

/** Waits until `attempts` refresh attempts have ended, and returns the row of the account. */
export async function afterAttempt(
  stage: BrokerWithSandbox,
  attempts: number,
): Promise<Record<string, unknown>> {
  await until(async () => {
    const all = await stage.attempts()
    return all.length >= attempts && all.every(({ outcome }) => outcome !== null)
  }, 30_000)
  return stage.row()
}

/**
 * Asserts that no spent refresh token was sent, and none a second time without proof that it is
 * unspent.
 */
export function assertPresentedOnce(
  t: Test,
  { sandbox }: Pick<BrokerWithSandbox, 'sandbox'>,
): void {
  t.equal(sandbox.world.books.totals.presentedAgain, 0, 'no refresh token was presented again')
  t.equal(sandbox.world.books.totals.reusedRefreshTokens, 0, 'no spent one was presented')
}
