import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import type { Config } from '../../config/load-config.ts'
import type { Database } from '../../db/database.ts'
import { Integrations } from '../../integrations/directory.ts'
import { systemClock } from '../../lib/clock.ts'
import { call } from '../../provider/call.ts'
import {
  CHECK_RESULTS,
  countVerifiable,
  type Verified,
  type Verifier,
  verifyAccounts,
} from '../../refresh/verify-account.ts'
import { endProgress, printJson, printTable, showProgress, type Table } from '../common/output.ts'
import { withDatabase } from '../common/with-database.ts'

/** How often progress is reported where there is no terminal. */
const LINE_EVERY_MS = 10_000

interface VerifyOptions {
  pace?: number | undefined
  json?: true | undefined
}

type Count = ReturnType<typeof countsOf>[number]

const COUNTS: Table<Count> = {
  columns: [
    { title: 'REFRESH TOKEN', of: ({ verdict }) => verdict },
    { title: 'ACCOUNTS', of: ({ accounts }) => accounts },
  ],
  empty: 'no accounts',
}

const ACCOUNTS: Table<Verified> = {
  columns: [
    { title: 'ACCOUNT', of: ({ domain }) => domain },
    { title: 'ID', of: ({ accountId }) => accountId },
    { title: 'INTEGRATION', of: ({ integration }) => integration },
    { title: 'REFRESH TOKEN', of: ({ verdict }) => verdict },
  ],
  empty: 'All are alive.',
}

/** Probes every account's refresh token. Sets exit code 1 if one is not alive. */
export function probeTokens(options: VerifyOptions): Promise<void> {
  return withDatabase((config, database) => probeAll(options, config, database))
}

async function probeAll(
  { pace, json }: VerifyOptions,
  config: Config,
  database: Database,
): Promise<void> {
  const { keyRing, sendLimitMs, settleMs, lingerMs, breakerMs, minRestMs } = config
  const integrations = new Integrations(database, keyRing, pino({ level: 'silent' }))
  integrations.trustSandboxes(config)
  await integrations.reload()
  const claimContext = {
    claims: database.claims,
    owner: `verify ${randomUUID()}`,
    deploymentId: null,
    keyIds: keyRing.keyIds,
    limits: { sendLimitMs, settleMs, lingerMs, breakerMs, minRestMs },
    hasSecondPlace: () => true,
    hasGap: () => false,
    clock: systemClock,
  }
  const verifier = {
    db: database.db,
    claimContext,
    provider: { integrations, call },
    commitContext: { keyRing },
    pace: pace ?? config.pacePerSecond,
  }
  const accounts = await collect(verifier)
  if (accounts.some(({ verdict }) => verdict !== 'alive')) process.exitCode = 1
  if (json) return printJson({ counts: countsOf(accounts), accounts })
  printTable(countsOf(accounts), COUNTS)
  console.log()
  printTable(
    accounts.filter(({ verdict }) => verdict !== 'alive'),
    ACCOUNTS,
  )
}

async function collect(verifier: Verifier): Promise<Verified[]> {
  const total = await countVerifiable(verifier.db)
  const accounts: Verified[] = []
  let shownAtMs = performance.now()
  for await (const account of verifyAccounts(verifier)) {
    accounts.push(account)
    const line = `${accounts.length} of ${total} accounts, ${textOf(countsOf(accounts))}`
    showProgress(line)
    if (!process.stderr.isTTY && performance.now() - shownAtMs > LINE_EVERY_MS) {
      shownAtMs = performance.now()
      process.stderr.write(`${line}\n`)
    }
  }
  endProgress()
  return accounts
}

function countsOf(accounts: Verified[]) {
  return CHECK_RESULTS.map((verdict) => ({
    verdict,
    accounts: accounts.filter((each) => each.verdict === verdict).length,
  }))
}

function textOf(counts: Count[]): string {
  const found = counts.filter(({ accounts }) => accounts > 0)
  return found.map(({ verdict, accounts }) => `${accounts} ${verdict}`).join(', ') || 'none yet'
}
