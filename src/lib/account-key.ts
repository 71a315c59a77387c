/** Identifies an account: its id at the provider, within one of our integrations. */
export interface AccountKey {
  integration: string
  accountId: number
}

/**
 * Returns the key as text, for maps and for the row of a sealed value's place. `join` makes one
 * flat string; a template would keep a chain of parts, and many keys are stored.
 */
export function keyText({ integration, accountId }: AccountKey): string {
  return [integration, accountId].join('/')
}

/**
 * Reads the payload of the channels `amo_tokens` and `amo_accounts`: `[integration, accountId,
 * generation]`.
 *
 * @returns undefined for any other payload, because every user of the database may notify
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
