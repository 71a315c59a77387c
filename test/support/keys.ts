import { randomBytes } from 'node:crypto'
import { runCli } from './cli.ts'
import { query } from './database.ts'

export const newKey = (id: string) => `${id}:${randomBytes(32).toString('base64')}`

/**
 * Returns the place (table.column) of every value of the database that is sealed under this key.
 */
export async function sealedUnder(databaseUrl: string, keyId: string): Promise<string[]> {
  const columns = await query<{ table: string; column: string }>(
    databaseUrl,
    `select table_name as table, column_name as column from information_schema.columns
     where table_schema = 'public' and data_type in ('text', 'jsonb') and table_name like 'amo\\_%'`,
  )
  const found: string[] = []
  for (const { table, column } of columns) {
    const rows = await query(
      databaseUrl,
      `select from ${table} where "${column}"::text ~ '(^|")${keyId}\\.[A-Za-z0-9_-]{30,}'`,
    )
    for (const _ of rows) found.push(`${table}.${column}`)
  }
  return found
}

/** Runs `amo-broker reseal` with only this environment. */
export function reseal(env: Record<string, string>, ...args: string[]) {
  return runCli(['reseal', ...args], env)
}
