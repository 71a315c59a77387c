import { query } from './database.ts'

/** SQL for the columns that differ from a plain active account. `n` is the number of the row. */
export type Columns = Record<string, string>

/**
 * Inserts `count` rows into `amo_tokens` without a provider: their tokens open nowhere. Account ids
 * and domains begin with `first`.
 */
export async function insertAccounts(
  databaseUrl: string,
  count: number,
  columns: Columns = {},
  first = 1_000_000,
): Promise<void> {
  const all: Columns = {
    integration: `'amocrm'`,
    '"accountId"': `${first} + n`,
    domain: `'shop-' || (${first} + n) || '.amocrm.ru'`,
    status: `'active'`,
    '"approvedAt"': 'now()',
    '"accessToken"': `'k.none'`,
    '"refreshToken"': `'k.none'`,
    '"refreshTokenFingerprint"': `md5((${first} + n)::text)`,
    generation: `nextval('amo_generation')`,
    '"issuedAt"': 'now()',
    '"expiresAt"': `now() + interval '1 day'`,
    '"refreshAt"': `now() + interval '18 hours'`,
    '"nextAttemptAt"': `now() + interval '18 hours'`,
    '"refreshTokenExpiresAt"': `now() + interval '90 days'`,
    ...columns,
  }
  await query(
    databaseUrl,
    `insert into amo_tokens (${Object.keys(all).join(', ')})
     select ${Object.values(all).join(', ')} from generate_series(1, ${count}) n`,
  )
}

/** Inserts integrations that call nobody. */
export async function insertIntegrations(databaseUrl: string, ...names: string[]): Promise<void> {
  await query(
    databaseUrl,
    `insert into amo_integrations (name, provider, "clientId", "clientSecret", "redirectUri", state)
     select name, 'amocrm', 'client', 'k.none', 'http://127.0.0.1:1/x', 'paused'
     from unnest($1::text[]) name on conflict do nothing`,
    [names],
  )
}
