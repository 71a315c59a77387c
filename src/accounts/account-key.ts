/** What identifies an account: its id at the provider, within one of our integrations. */
export interface AccountKey {
  integration: string
  accountId: number
}

/** For maps and for the row in a sealed value's place. Joined: one string and not a chain of them, for many are kept. */
export function keyText({ integration, accountId }: AccountKey): string {
  return [integration, accountId].join('/')
}

/**
 * Reads the payload of channels `amo_tokens` and `amo_accounts`: `[integration, accountId, generation]`. Undefined when it is
 * something else: whoever may connect to the database may notify.
 */
export function parseAccountNotification(
  payload: string,
): (AccountKey & { generation: number }) | undefined {
  try {
    const [integration, accountId, generation] = JSON.parse(payload)
    const isKey = typeof integration === 'string' && Number.isSafeInteger(accountId)
    return isKey && Number.isSafeInteger(generation)
      ? { integration, accountId, generation }
      : undefined
  } catch {
    return undefined
  }
}
