import type { SealedAt } from '../vault/key-ring.ts'
import { type AccountKey, keyText } from './account-key.ts'

/** The sealed place of a token in `amo_tokens`. */
export function tokenAt(
  account: AccountKey & { generation: number },
  column: 'accessToken' | 'refreshToken',
): SealedAt {
  return { table: 'amo_tokens', row: keyText(account), column, generation: account.generation }
}
