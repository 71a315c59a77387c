import type { AccountKey } from '../accounts/account-key.ts'
import { BrokerError } from '../errors.ts'

/** Who makes a request, and what it was granted. An operator may do everything. */
export interface Caller {
  name: string
  role: 'reader' | 'monitor' | 'operator'
}

/** Whether the caller may have this account's token. */
export function mayRead(caller: Caller, _account: AccountKey): boolean {
  return caller.role === 'operator'
}

/** Throws `forbidden`. */
export function requireOperator(caller: Caller, action: string): void {
  if (caller.role !== 'operator')
    throw new BrokerError('forbidden', `Only operators may ${action}.`)
}
