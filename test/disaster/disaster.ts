import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { KeyRing } from '../../src/vault/key-ring.ts'
import { deploymentOf, ENCRYPTION_KEYS, until } from '../support/broker.ts'
import { query } from '../support/database.ts'
import { dropDatabase, dump, restoreDump, takeAway } from '../support/dump.ts'
import { withTeardown } from '../support/teardown-scope.ts'
import { openVault } from '../support/vault.ts'
import { readHoldings } from '../torture/holdings.ts'
import type { Fleet } from './fleet.ts'

const LIMIT_MS = 300_000
/** How long callers go on without the database. */
const WITHOUT_MS = 5_000
/** So many accounts in a hundred are refreshed while the escrow gets nothing. */
const BEHIND_PERCENT = 3

/**
 * Loses the database under load and restores it from an earlier dump, in which every refresh token
 * is spent, and from an escrow that lacks the last seconds. Returns the number of accounts that
 * need a new consent.
 */
export async function runDisaster(
  fleet: Fleet,
  { losesDisks }: { losesDisks: boolean },
): Promise<number> {
  const { databaseUrl, accounts, problem } = fleet
  say(`\n${losesDisks ? 'the disks and Redis are lost too' : 'the disks are intact'}`)
  await fleet.start()
  const callers = fleet.call()
  await whenCaughtUp(databaseUrl)
  const file = join(fleet.folder, `night-${losesDisks}.dump`)
  await dump(databaseUrl, file)
  const night = await newestGeneration(databaseUrl)
  await untilRefreshed(databaseUrl, night, accounts)
  await whenCaughtUp(databaseUrl)
  fleet.setPlace(false)
  const behind = await newestGeneration(databaseUrl)
  await untilRefreshed(databaseUrl, behind, Math.ceil((accounts * BEHIND_PERCENT) / 100))
  const lostUrl = await takeAway(databaseUrl)
  await delay(WITHOUT_MS)
  const { served, refused } = await callers.stop()
  say(`callers: ${served} tokens, otherwise ${JSON.stringify(Object.fromEntries(refused))}`)
  const stopMs = performance.now()
  const codes = await fleet.stop()
  say(`the brokers ended within ${seconds(stopMs)} s of SIGTERM, with ${codes.join(', ')}`)
  fleet.setPlace(true)

  const drill = await drillBeside(fleet, lostUrl, file)
  say(`drill: ${drill.lost} of ${drill.accounts} lost, ${drill.in_flight} in flight`)
  await dropDatabase(lostUrl)
  if (losesDisks) await fleet.loseDisks()
  await restoreDump(databaseUrl, file)
  const restoreMs = performance.now()
  const restored = await fleet.cli(['escrow', 'restore', '--yes'])
  const { accounts_renewed: renewed, problems } = restored.json
  say(`escrow restore: ${renewed} accounts renewed, ${seconds(restoreMs)} s`)
  if (problems.length > 0) problem(`the escrow has problems: ${problems.join('; ')}`)

  const dead = await findDead(fleet)
  say(`after the restore ${dead.length} accounts have a spent token`)
  if (dead.length < drill.lost || dead.length > drill.lost + drill.in_flight) {
    problem(
      `${dead.length} accounts are dead, the drill said ${drill.lost} to ${drill.lost + drill.in_flight}`,
    )
  }
  if (drill.lost === 0) problem('the escrow was not behind: nothing was shown')
  const lost = losesDisks ? dead.length : 0
  await bringBack(fleet, lost)
  return lost
}

/** Starts the brokers and refreshes every account. Only `lost` of them may need a new consent. */
export async function bringBack(fleet: Fleet, lost: number): Promise<void> {
  const { databaseUrl, accounts, problem, sandbox } = fleet
  const restored = await newestGeneration(databaseUrl)
  await query(databaseUrl, `update amo_tokens set "refreshAt" = now(), "nextAttemptAt" = now()`)
  const startMs = performance.now()
  const [broker] = await fleet.start()
  const operator = setInterval(() => {
    // The mass guard halts an integration that would lose more than a hundredth of its accounts.
    if (lost > 0) broker?.post('/integrations/amocrm/resume', {}).catch(() => {})
  }, 1_000)
  await untilRefreshed(databaseUrl, restored, accounts - lost)
  await until(async () => (await countLost(databaseUrl)) === lost, LIMIT_MS).catch(() => {})
  clearInterval(operator)
  say(`${accounts - lost} accounts refreshed within ${seconds(startMs)} s of the start`)
  await fleet.stop()
  const consents = await countLost(databaseUrl)
  const live = accounts - (await findDead(fleet)).length
  say(`${live} of ${accounts} accounts live, ${consents} need a new consent`)
  if (live !== accounts - lost) problem(`${live} accounts live, expected ${accounts - lost}`)
  if (consents !== lost) problem(`${consents} need a new consent, expected ${lost}`)
  const { presentedAgain, reusedRefreshTokens, refreshes } = sandbox.world.books.totals
  say(`${refreshes} refreshes so far, ${presentedAgain + reusedRefreshTokens} tokens sent twice`)
  if (presentedAgain + reusedRefreshTokens > 0) problem('a refresh token was sent twice')
}

/** Runs the drill with the state that was lost, and with the dump as the backup. */
async function drillBeside(fleet: Fleet, lostUrl: string, file: string) {
  const scratch = new URL(fleet.databaseUrl)
  scratch.pathname += '_scratch'
  await restoreDump(scratch.href, file)
  const { json } = await fleet.cli(['drill'], {
    DATABASE_URL: lostUrl,
    SCRATCH_URL: scratch.href,
  })
  await dropDatabase(scratch.href)
  return json as { accounts: number; lost: number; in_flight: number }
}

/** Returns the accounts whose refresh token in the database the provider does not accept. */
function findDead({ databaseUrl, sandbox }: Fleet): Promise<number[]> {
  return withTeardown(async (scope) => {
    const vault = await openVault(scope, databaseUrl, deploymentOf(databaseUrl), ENCRYPTION_KEYS)
    const holdings = await readHoldings(vault.db, KeyRing.parse(ENCRYPTION_KEYS))
    const { directory, grants } = sandbox.world
    const dead = holdings.filter(({ account: id, current }) => {
      const account = directory.accounts.get(`amocrm:${id}`)
      const [integration] = directory.integrations.values()
      if (account === undefined || integration === undefined) return true
      return !grants.liveRefreshTokens(account, integration.clientId).includes(current)
    })
    return dead.map(({ account }) => account)
  })
}

async function countLost(databaseUrl: string): Promise<number> {
  const [row] = await query<{ count: number }>(
    databaseUrl,
    `select count(*)::int from amo_tokens where status <> 'active'`,
  )
  return row?.count ?? 0
}

export async function newestGeneration(databaseUrl: string): Promise<number> {
  const [row] = await query<{ newest: number }>(
    databaseUrl,
    'select max(generation)::float8 as newest from amo_tokens',
  )
  return row?.newest ?? 0
}

export async function untilRefreshed(
  databaseUrl: string,
  since: number,
  count: number,
): Promise<void> {
  const refreshed = () =>
    query(databaseUrl, 'select from amo_tokens where generation > $1', [since])
  await until(async () => (await refreshed()).length >= count, LIMIT_MS)
}

async function whenCaughtUp(databaseUrl: string): Promise<void> {
  await until(async () => {
    const [state] = await query(
      databaseUrl,
      `select "snapshotSegment" > 0 and coalesce((select min("changedAt") from amo_escrow_changes)
         > clock_timestamp() - interval '2 seconds', true) as done from amo_escrow`,
    )
    return state?.done === true
  }, LIMIT_MS)
}

function seconds(sinceMs: number): string {
  return ((performance.now() - sinceMs) / 1000).toFixed(1)
}

export function say(line: string): void {
  console.log(line)
}
