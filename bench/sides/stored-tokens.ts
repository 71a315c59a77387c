import pg from 'pg'
import { KeyRing } from '../../src/vault/key-ring.ts'
import { tokenAt } from '../../src/vault/sealed-places.ts'

interface Row {
  integration: string
  accountId: number
  domain: string
  accessToken: string
  generation: number
  expiresAt: Date
  refreshAt: Date
}

pg.types.setTypeParser(pg.types.builtins.INT8, Number)
export const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 })
const keyRing = KeyRing.parse(process.env.ENCRYPTION_KEYS ?? '')

/** Reads a row with one prepared select. */
export async function findRow(domain: string): Promise<Row | undefined> {
  const { rows } = await pool.query<Row>({
    name: 'token',
    text: `select integration, "accountId", domain, "accessToken", generation, "expiresAt", "refreshAt"
      from amo_tokens where domain = $1`,
    values: [domain],
  })
  return rows[0]
}

/** Decrypts the token and returns the fields of the broker's response. */
export function tokenResponseOf(row: Row) {
  const nowMs = Date.now()
  return {
    account_id: row.accountId,
    integration: row.integration,
    domain: row.domain,
    api_url: `https://${row.domain}`,
    token_type: 'Bearer' as const,
    access_token: keyRing.open(row.accessToken, tokenAt(row, 'accessToken')).reveal(),
    expires_at: row.expiresAt.toISOString(),
    expires_in: Math.floor((row.expiresAt.getTime() - nowMs) / 1_000),
    use_until: row.refreshAt.toISOString(),
    use_for: Math.floor((row.refreshAt.getTime() - nowMs) / 1_000),
    generation: row.generation,
  }
}
