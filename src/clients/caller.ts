import type { Grant, Role } from '../db/tables/access.ts'
import type { AccountKey } from '../lib/account-key.ts'
import { BrokerError } from '../lib/errors.ts'

/** The maker of a request, and what it may access. */
export interface Caller {
  name: string
  role: Role
  reach: Reach
  /** Public id of the client's key; null: the caller did not come with a key of a client. */
  keyId: string | null
}

/** The holder of OPERATOR_KEY, which is valid before there are any clients. */
export const OPERATOR: Caller = {
  name: 'operator',
  role: 'operator',
  reach: reachOf([]),
  keyId: null,
}

/** A client's grants, indexed so that a check costs the same however many there are. */
interface Reach {
  grants: readonly Grant[]
  /** Integrations that were granted as a whole. */
  integrations: ReadonlySet<string>
  /** Account ids by integration. */
  accounts: ReadonlyMap<string, ReadonlySet<number>>
}

/** Indexes grants. */
export function reachOf(grants: readonly Grant[]): Reach {
  const integrations = new Set<string>()
  const accounts = new Map<string, Set<number>>()
  for (const { integration, accountId } of grants) {
    if (accountId === null) integrations.add(integration)
    else accounts.set(integration, (accounts.get(integration) ?? new Set()).add(accountId))
  }
  return { grants, integrations, accounts }
}

/**
 * Returns whether the caller may have this account's token. Operators may have all tokens, monitors
 * none.
 */
export function mayRead({ role, reach }: Caller, account: AccountKey): boolean {
  if (role === 'operator') return true
  if (role === 'monitor') return false
  const { integration, accountId } = account
  return (
    reach.integrations.has(integration) || reach.accounts.get(integration)?.has(accountId) === true
  )
}

/** Returns whether the caller may see this account and its state. */
export function maySee(caller: Caller, account: AccountKey): boolean {
  return caller.role === 'monitor' || mayRead(caller, account)
}

/**
 * Returns whether the caller may learn that an account does not exist, when it asks for an account
 * that `may` would have to allow. It may if it can access every account of the integration, or of
 * some integration if it names none.
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

/** Throws `forbidden` unless the caller is an operator. */
export function requireOperator({ role }: Caller): void {
  if (role === 'operator') return
  throw new BrokerError('forbidden', 'Only operators may do this.', {
    members: { remedy: 'Use OPERATOR_KEY, or the key of a client with the role operator.' },
  })
}
