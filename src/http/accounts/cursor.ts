import type { AccountFilter, Position } from '../../accounts/list-keys.ts'
import { BrokerError } from '../../lib/errors.ts'

type Order = AccountFilter['order']

/** Reads `after`. Throws `bad_request` when it belongs to a list in another order. */
export function positionOf(text: string, order: Order = 'account'): Position {
  const [integration = '', accountId, sort] = text.split('/')
  if ((sort !== undefined) !== (order !== 'account')) {
    throw new BrokerError('bad_request', 'after: it is the position in a list of another order.')
  }
  const sortMicros = sort === undefined || sort === 'never' ? null : sort
  return { integration, accountId: Number(accountId), sortMicros }
}

/** Writes a position as the API's `next`. */
export function cursorOf(position: Position, order: Order = 'account'): string {
  const { integration, accountId, sortMicros } = position
  const key = `${integration}/${accountId}`
  return order === 'account' ? key : `${key}/${sortMicros ?? 'never'}`
}
