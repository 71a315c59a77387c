import type { Pool } from 'pg'

/** A standby that has not got the last commits: what the tables held before them. */
export interface Standby {
  tokens: string
  attempts: string
  /** Refresh tokens that had been in the row by then. */
  committed: Set<string>
  /** So many sends had been written by then. */
  sends: number
  atMove: number
}

export async function readTables(control: Pool): Promise<Pick<Standby, 'tokens' | 'attempts'>> {
  const { rows } = await control.query(
    `select (select json_agg(t)::text from amo_tokens t) as tokens,
       (select json_agg(a)::text from amo_refresh_attempts a) as attempts`,
  )
  return { tokens: rows[0].tokens ?? '[]', attempts: rows[0].attempts ?? '[]' }
}

/** The standby is promoted. */
export async function writeTables(control: Pool, { tokens, attempts }: Standby): Promise<void> {
  await control.query('delete from amo_refresh_attempts')
  await control.query('delete from amo_tokens')
  await control.query(
    'insert into amo_tokens select * from json_populate_recordset(null::amo_tokens, $1)',
    [tokens],
  )
  await control.query(
    `insert into amo_refresh_attempts overriding system value
     select * from json_populate_recordset(null::amo_refresh_attempts, $1)`,
    [attempts],
  )
}
