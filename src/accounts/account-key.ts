/** What identifies an account: its id at the provider, within one of our integrations. */
export interface AccountKey {
  integration: string
  accountId: number
}

/** For maps and for the row in a sealed value's place. */
export function keyText(key: AccountKey): string {
  return `${key.integration}/${key.accountId}`
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
