import type { Forecast } from '../../../accounts/forecast.ts'
import { findAccounts } from '../../../accounts/list.ts'
import { findReaders, type Reader } from '../../../accounts/readers.ts'
import { type AccountState, countByStatus } from '../../../accounts/store.ts'
import type { Broker } from '../../../broker.ts'
import type { AccountStatus } from '../../../db/tables/accounts.ts'
import type { Tone } from '../parts.ts'

/** Accounts on the home page. A link leads to the list of all. */
const LISTED = 10

/** What the broker did by itself, or what does not work. */
export interface Notice {
  tone: Tone
  title: string
  text: string
  /** Where to repair it. */
  link?: { href: string; text: string } | undefined
}

export interface DeadAccount {
  account: AccountState
  readers: readonly Reader[]
}

/** Everything that the home page shows. */
export interface Needs {
  counts: Readonly<Record<AccountStatus, number>>
  byIntegration: ReadonlyMap<string, Readonly<Record<AccountStatus, number>>>
  /** Accounts that end within two weeks. */
  ending: number
  dead: readonly DeadAccount[]
  pending: readonly AccountState[]
  forecast: Forecast
}

const NONE = { active: 0, pending: 0, reauth_required: 0, disconnected: 0 }

/** Reads what needs a person. The cost does not depend on the number of accounts. */
export async function findNeeds({ database, forecasts, refreshing }: Broker): Promise<Needs> {
  const { db } = database
  const [rows, dead, pending, forecast] = await Promise.all([
    countByStatus(db),
    findAccounts(db, { status: 'reauth_required' }, LISTED),
    findAccounts(db, { status: 'pending' }, LISTED),
    forecasts.get(),
  ])
  const counts = { ...NONE }
  const byIntegration = new Map<string, typeof NONE>()
  for (const { integration, status, accounts } of rows) {
    counts[status] += accounts
    const own = byIntegration.get(integration) ?? { ...NONE }
    own[status] += accounts
    byIntegration.set(integration, own)
  }
  const readers = await Promise.all(dead.accounts.map((account) => findReaders(db, account)))
  const { counts: endings } = refreshing.expiryWatch
  return {
    counts,
    byIntegration,
    ending: endings.reduce((sum, { accounts }) => sum + accounts, 0),
    dead: dead.accounts.map((account, at) => ({ account, readers: readers[at] ?? [] })),
    pending: pending.accounts,
    forecast,
  }
}
