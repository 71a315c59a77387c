import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { text } from 'node:stream/consumers'
import { query } from './database.ts'

export const newKey = (id: string) => `${id}:${randomBytes(32).toString('base64')}`

/** Every value of the database that is sealed under this key, as table.column. */
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

/** `npm run reseal` with nothing but this environment. */
export async function reseal(env: Record<string, string>, ...args: string[]) {
  const child = spawn(process.execPath, ['src/cli/reseal.ts', ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)])
  return { code: await ended, out, err }
}
