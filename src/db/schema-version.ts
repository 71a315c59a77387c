import { readFileSync } from 'node:fs'
import { type Kysely, sql } from 'kysely'
import type { Tables } from './tables.ts'

const HEADER = /^-- runs beside: (\d+\.\d+\.\d+)\n/

/** The version of this program, from package.json. */
export const VERSION: string = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
).version

/**
 * Returns the oldest version that can run beside a migration, from its first line. Throws without
 * such a line.
 */
export function oldestVersionOf(name: string, text: string): string {
  const [, version] = HEADER.exec(text) ?? []
  if (version === undefined) {
    throw new Error(`sql/${name}: the first line must be "-- runs beside: <version>"`)
  }
  return version
}

/** Records the oldest version that can run on the schema. A migration never lowers it. */
export async function recordOldestVersion(db: Kysely<unknown>, version: string): Promise<void> {
  await sql`
    insert into amo_schema ("oldestVersion") values (${version})
    on conflict ("onlyRow") do update set "oldestVersion" = excluded."oldestVersion"
    where string_to_array(amo_schema."oldestVersion", '.')::int[]
      < string_to_array(excluded."oldestVersion", '.')::int[]
  `.execute(db)
}

/** Returns the oldest version that can run on the schema of a migrated database. */
export async function getOldestVersion(db: Kysely<Tables>): Promise<string> {
  const row = await db.selectFrom('amo_schema').select('oldestVersion').executeTakeFirstOrThrow()
  return row.oldestVersion
}

/** Compares two versions of the form 1.2.3: negative when `left` is the older one. */
export function compareVersions(left: string, right: string): number {
  const [a, b] = [left.split('.').map(Number), right.split('.').map(Number)]
  const [difference = 0] = a.map((part, at) => part - (b[at] ?? 0)).filter((each) => each !== 0)
  return difference
}
