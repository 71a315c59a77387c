import pg from 'pg'
import type { EscrowPlace } from './place.ts'

const LIMIT_MS = 10_000
const PAGE = 1_000

/**
 * Opens an escrow in a second PostgreSQL, which must not be the one that it backs up. Creates its
 * table.
 */
export async function openPostgresPlace(url: string): Promise<EscrowPlace> {
  const pool = new pg.Pool({
    connectionString: url,
    max: 2,
    application_name: 'amo-token-broker escrow',
    connectionTimeoutMillis: LIMIT_MS,
    statement_timeout: LIMIT_MS,
    query_timeout: LIMIT_MS,
  })
  pool.on('error', () => {})
  await pool.query(`create table if not exists amo_escrow_lines (
    segment bigint not null, line bigint not null, text text not null, primary key (segment, line))`)
  const { hostname, pathname } = new URL(url)
  return {
    title: `PostgreSQL ${hostname}${pathname}`,
    async segments() {
      const { rows } = await pool.query<{ segment: string }>(
        'select distinct segment from amo_escrow_lines order by segment',
      )
      return rows.map(({ segment }) => Number(segment))
    },
    async append(segment, firstLine, lines) {
      // A line whose acknowledgement was lost is written again.
      await pool.query(
        `insert into amo_escrow_lines (segment, line, text)
         select $1, $2 + ordinality - 1, text from unnest($3::text[]) with ordinality as t(text)
         on conflict (segment, line) do update set text = excluded.text`,
        [segment, firstLine, lines],
      )
    },
    async *read(segment) {
      for (let after = -1; ; ) {
        const { rows } = await pool.query<{ line: string; text: string }>(
          `select line, text from amo_escrow_lines where segment = $1 and line > $2
           order by line limit ${PAGE}`,
          [segment, after],
        )
        for (const { text } of rows) yield text
        if (rows.length < PAGE) return
        after = Number(rows.at(-1)?.line)
      }
    },
    async remove(segment) {
      await pool.query('delete from amo_escrow_lines where segment = $1', [segment])
    },
    close: () => pool.end(),
  }
}
