import type { AccountKey } from '../accounts/account-key.ts'
import { BrokerError } from '../errors.ts'

export const ROLES = ['reader', 'monitor', 'operator'] as const
export type Role = (typeof ROLES)[number]

/** Who makes a request, and what it may have. */
export interface Caller {
  name: string
  role: Role
  reach: Reach
}

/** A grant as it is stored: one account, or null for every account of the integration. */
export interface Grant {
  integration: string
  accountId: number | null
}

/** What a client was granted, laid out so that a look costs the same however much it is. */
export interface Reach {
  grants: readonly Grant[]
  integrations: ReadonlySet<string>
  /** By integration. */
  accounts: ReadonlyMap<string, ReadonlySet<number>>
}

export function reachOf(grants: readonly Grant[]): Reach {
  const integrations = new Set<string>()
  const accounts = new Map<string, Set<number>>()
  for (const { integration, accountId } of grants) {
    if (accountId === null) integrations.add(integration)
    else accounts.set(integration, (accounts.get(integration) ?? new Set()).add(accountId))
  }
  return { grants, integrations, accounts }
}

/** Whether the caller may have this account's token. An operator may have all, a monitor none. */
export function mayRead({ role, reach }: Caller, account: AccountKey): boolean {
  if (role === 'operator') return true
  if (role === 'monitor') return false
  const { integration, accountId } = account
  return (
    reach.integrations.has(integration) || reach.accounts.get(integration)?.has(accountId) === true
  )
}

/** Whether the caller may know of this account and its state. */
export function maySee(caller: Caller, account: AccountKey): boolean {
  return caller.role === 'monitor' || mayRead(caller, account)
}

/**
 * Whether the caller may know that an account does not exist, when it asks for what `may` lets it have: who may see all
 * of the integration, or all of any if none is named.
 */
export function mayMiss(
  { role, reach }: Caller,
  integration: string | undefined,
  may: typeof mayRead,
): boolean {
  if (role === 'operator') return true
  if (role === 'monitor') return may === maySee
  return integration === undefined
    ? reach.integrations.size > 0
    : reach.integrations.has(integration)
}

/** Throws `forbidden`. */
export function requireOperator(caller: Caller, action: string): void {
  if (caller.role !== 'operator')
    throw new BrokerError('forbidden', `Only operators may ${action}.`)
}
