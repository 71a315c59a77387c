import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import type { Config } from '../config.ts'
import type { Database } from '../db/database.ts'
import { Integrations } from '../integrations/service.ts'
import {
  countVerifiable,
  VERDICTS,
  type Verified,
  type Verifier,
  verifyAccounts,
} from '../refresh/verify.ts'
import { withDatabase } from './with-database.ts'

/** Where nobody watches, a line now and then is enough. */
const LINE_EVERY_MS = 10_000

export interface VerifyOptions {
  pace?: number | undefined
  json?: true | undefined
}

/** Probes every account's refresh token, and shows what came of it. Exit code 1 when one is not alive. */
export function verify(options: VerifyOptions): Promise<void> {
  return withDatabase((config, database) => probeAll(options, config, database))
}

async function probeAll(
  { pace, json }: VerifyOptions,
  config: Config,
  database: Database,
): Promise<void> {
  const { keyRing, sendLimitMs, settleMs, breakerMs } = config
  const integrations = new Integrations(database, keyRing, pino({ level: 'silent' }))
  await integrations.reload()
  const claimant = {
    claims: database.claims,
    owner: `verify ${randomUUID()}`,
    deploymentId: null,
    keyIds: keyRing.keyIds,
    sendLimitMs,
    settleMs,
    breakerMs,
  }
  const verifier = {
    db: database.db,
    claimant,
    integrations,
    committer: { keyRing },
    pace: pace ?? config.pacePerSecond,
  }
  const accounts = await collect(verifier)
  if (json) console.log(JSON.stringify({ counts: countsOf(accounts), accounts }, null, 2))
  else show(accounts)
  if (accounts.some(({ verdict }) => verdict !== 'alive')) process.exitCode = 1
}

async function collect(verifier: Verifier): Promise<Verified[]> {
  const total = await countVerifiable(verifier.db)
  const accounts: Verified[] = []
  let toldAtMs = performance.now()
  for await (const account of verifyAccounts(verifier)) {
    accounts.push(account)
    const line = `${accounts.length} of ${total} accounts, ${textOf(countsOf(accounts))}`
    if (process.stderr.isTTY) process.stderr.write(`\r${line} `)
    else if (performance.now() - toldAtMs > LINE_EVERY_MS) {
      toldAtMs = performance.now()
      process.stderr.write(`${line}\n`)
    }
  }
  if (process.stderr.isTTY) process.stderr.write('\n')
  return accounts
}

function countsOf(accounts: Verified[]) {
  return VERDICTS.map((verdict) => ({
    verdict,
    accounts: accounts.filter((each) => each.verdict === verdict).length,
  }))
}

function textOf(counts: ReturnType<typeof countsOf>): string {
  const found = counts.filter(({ accounts }) => accounts > 0)
  return found.map(({ verdict, accounts }) => `${accounts} ${verdict}`).join(', ') || 'none yet'
}

function show(accounts: Verified[]): void {
  console.table(countsOf(accounts))
  const others = accounts.filter(({ verdict }) => verdict !== 'alive')
  if (others.length > 0) console.table(others)
  else console.log('All are alive.')
}
