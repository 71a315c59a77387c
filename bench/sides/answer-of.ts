import type { Secret } from '../../src/vault/secret.ts'

export const COLUMNS =
  'integration, "accountId", domain, "accessToken", generation, "expiresAt", "refreshAt"'

export interface Row {
  integration: string
  accountId: number
  domain: string
  accessToken: string
  generation: number
  expiresAt: Date
  refreshAt: Date
}

/** The same fields as the broker's answer. */
export function answerOf(row: Row, accessToken: Secret) {
  const nowMs = Date.now()
  return {
    account_id: row.accountId,
    integration: row.integration,
    domain: row.domain,
    api_url: `https://${row.domain}`,
    token_type: 'Bearer' as const,
    access_token: accessToken.reveal(),
    expires_at: row.expiresAt.toISOString(),
    expires_in: Math.floor((row.expiresAt.getTime() - nowMs) / 1_000),
    use_until: row.refreshAt.toISOString(),
    use_for: Math.floor((row.refreshAt.getTime() - nowMs) / 1_000),
    generation: row.generation,
  }
}
