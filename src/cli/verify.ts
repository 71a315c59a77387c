import { randomUUID } from 'node:crypto'
import { parseArgs } from 'node:util'
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
import { runCommand } from './command.ts'

const HELP = `npm run verify [-- --pace N] [--json]

Asks the provider about every account's refresh token. Spends no token, changes no account, and works on a restored copy of
the database, whichever deployment it belongs to. Needs the settings of the broker; in embedded mode the broker must be stopped.

  --pace N   probes a second (PACE_PER_SECOND: the company's services share the provider's 7 requests a second)
  --json     one JSON document instead of a table

Exit code 0 only when every account is alive. "busy" is one that was being refreshed: ask again. "unreadable" is one whose
token does not open with ENCRYPTION_KEYS. Disconnected accounts and long-lived tokens are not asked about.
`

/** Where nobody watches, a line now and then is enough. */
const LINE_EVERY_MS = 10_000

const { values } = parseArgs({
  options: { pace: { type: 'string' }, json: { type: 'boolean' }, help: { type: 'boolean' } },
})
if (values.help) console.log(HELP)
else await runCommand(verify)

async function verify(config: Config, database: Database): Promise<void> {
  const pace = values.pace === undefined ? config.pacePerSecond : Number(values.pace)
  if (!(pace > 0)) throw new Error('--pace must be a number above 0')
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
  const verifier = { db: database.db, claimant, integrations, committer: { keyRing }, pace }
  const accounts = await collect(verifier)
  if (values.json) console.log(JSON.stringify({ counts: countsOf(accounts), accounts }, null, 2))
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
