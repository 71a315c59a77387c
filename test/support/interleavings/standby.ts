import type { Pool } from 'pg'

/** A standby that lacks the last commits: the content of the tables before them. */
export interface Standby {
  tokens: string
  attempts: string
  /** Refresh tokens that had been in the row by then. */
  committed: Set<string>
  /** Number of sends that had been recorded by then. */
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

/** Counts the recorded sends that the standby lacks, by the fingerprint of their token. */
export function forgottenSends(
  { attempts: before }: Pick<Standby, 'attempts'>,
  { attempts: after }: Pick<Standby, 'attempts'>,
): Map<string, number> {
  const known = new Map(parseSends(before).map(({ id, sendCount }) => [id, sendCount]))
  const forgotten = new Map<string, number>()
  for (const { id, refreshTokenFingerprint: fingerprint, sendCount } of parseSends(after)) {
    const count = sendCount - (known.get(id) ?? 0)
    if (count > 0) forgotten.set(fingerprint, (forgotten.get(fingerprint) ?? 0) + count)
  }
  return forgotten
}

function parseSends(
  attempts: string,
): { id: number; refreshTokenFingerprint: string; sendCount: number }[] {
  return JSON.parse(attempts)
}

/** Promotes the standby. */
export async function writeTables(control: Pool, { tokens, attempts }: Standby): Promise<void> {
  await control.query('delete from amo_refresh_attempts')
  await control.query('delete from amo_tokens')
  // The audit of what is forgotten now.
  await control.query('delete from amo_audit')
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
