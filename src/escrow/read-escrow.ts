import { type Kysely, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { KeyMissing } from '../lib/errors.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { SEALED_COLUMNS } from '../vault/sealed-places.ts'
import type { EscrowPlace } from './place.ts'
import { type Image, type Relation, readLine, type SnapshotEnd } from './segment-line.ts'

const BATCH = 500

/** What was found in the escrow. */
export interface EscrowContent {
  segments: number
  lines: number
  /** Whether every row is in it: a complete snapshot, and each segment since. */
  isComplete: boolean
  /** The tables of which every row is in it. Empty unless `isComplete`. */
  covers: readonly Relation[]
  /** PostgreSQL's time of the newest image; null: there is none. */
  newestAt: string | null
  /** What is missing or cannot be read, in sentences. */
  problems: string[]
}

/** What is known of a segment besides its images. */
interface SegmentFacts {
  previous: number | null | undefined
  snapshots: SnapshotEnd[]
  lines: number
}

/**
 * Loads the newest image of every row into the temporary table `escrow_images` of this connection.
 * Throws `ForeignEscrow` when the escrow belongs to another deployment.
 *
 * @param onLine Called with the number of lines so far.
 */
export async function loadEscrow(
  db: Kysely<Tables>,
  place: EscrowPlace,
  { keyRing, deploymentId }: { keyRing: KeyRing; deploymentId: string },
  onLine: (lines: number) => void = () => {},
): Promise<EscrowContent> {
  await sql`
    create temporary table escrow_images (relation text, name text, "accountId" bigint,
      at timestamptz, row jsonb, primary key (relation, name, "accountId"))
  `.execute(db)
  const content: EscrowContent = {
    segments: 0,
    lines: 0,
    isComplete: false,
    covers: [],
    newestAt: null,
    problems: [],
  }
  const facts = new Map<number, SegmentFacts>()
  const missingKeys = new Map<string, number>()
  for (const segment of await place.segments()) {
    content.segments += 1
    const fact: SegmentFacts = { previous: undefined, snapshots: [], lines: 0 }
    facts.set(segment, fact)
    const images = new Map<string, Image>()
    let cutOff: number | undefined
    for await (const text of place.read(segment)) {
      const line = fact.lines
      fact.lines += 1
      content.lines += 1
      onLine(content.lines)
      if (cutOff !== undefined) {
        content.problems.push(`segment ${segment}: line ${cutOff} is altered or cut off`)
        cutOff = undefined
      }
      try {
        const entry = readLine(keyRing, { deploymentId, segment, line }, text)
        if (entry === undefined) cutOff = line
        else if ('snapshotFrom' in entry) fact.snapshots.push(entry)
        else if ('segment' in entry) fact.previous = entry.previous
        else images.set(JSON.stringify([entry.relation, entry.name, entry.accountId]), entry)
      } catch (error) {
        if (!(error instanceof KeyMissing)) throw error
        missingKeys.set(error.keyId, (missingKeys.get(error.keyId) ?? 0) + 1)
      }
      if (images.size >= BATCH) await store(db, images)
    }
    await store(db, images)
    if (cutOff !== undefined) {
      content.problems.push(
        `segment ${segment}: its last line (${cutOff}) is cut off and was left out, as after a crash`,
      )
    }
  }
  for (const [keyId, lines] of missingKeys) {
    content.problems.push(`key ${keyId} is not in ENCRYPTION_KEYS: ${lines} lines cannot be opened`)
  }
  const unreadable = await countUnreadable(db, keyRing)
  for (const { keyId, rows } of unreadable) {
    content.problems.push(`key ${keyId} is not in ENCRYPTION_KEYS: ${rows} rows cannot be used`)
  }
  const snapshot = findNewestSnapshot(facts)
  const gaps = gapsOf(facts, snapshot?.snapshotFrom)
  content.problems.push(...gaps)
  content.isComplete = gaps.length === 0 && missingKeys.size === 0 && unreadable.length === 0
  if (content.isComplete) content.covers = snapshot?.relations ?? []
  content.newestAt = await findNewest(db)
  return content
}

function findNewestSnapshot(facts: ReadonlyMap<number, SegmentFacts>): SnapshotEnd | undefined {
  return [...facts.values()]
    .flatMap(({ snapshots }) => snapshots)
    .toSorted((left, right) => left.snapshotFrom - right.snapshotFrom)
    .at(-1)
}

/**
 * Finds the segments that are missing since the newest complete snapshot.
 *
 * @param from The segment where it began.
 */
function gapsOf(facts: ReadonlyMap<number, SegmentFacts>, from: number | undefined): string[] {
  if (from === undefined) return ['the escrow has no complete snapshot: rows may be missing']
  const gaps = []
  if (!facts.has(from)) gaps.push(`segment ${from} is missing`)
  for (const [segment, { previous }] of facts) {
    if (segment <= from || previous === null || previous === undefined) continue
    if (previous >= from && !facts.has(previous)) gaps.push(`segment ${previous} is missing`)
  }
  return gaps
}

async function store(db: Kysely<Tables>, images: Map<string, Image>): Promise<void> {
  if (images.size === 0) return
  await sql`
    insert into escrow_images
    select relation, name, "accountId", at, nullif(row, 'null'::jsonb)
    from jsonb_to_recordset(${JSON.stringify([...images.values()])}::jsonb)
      as i(relation text, name text, "accountId" bigint, at timestamptz, row jsonb)
    on conflict (relation, name, "accountId") do update set at = excluded.at, row = excluded.row
    where excluded.at >= escrow_images.at
  `.execute(db)
  images.clear()
}

/** Counts the rows whose newest image has a value under a key that is not loaded. */
async function countUnreadable(
  db: Kysely<Tables>,
  { keyIds }: KeyRing,
): Promise<{ keyId: string; rows: number }[]> {
  const values = SEALED_COLUMNS.flatMap(({ table, columns }) =>
    columns.map((column) => sql`(${table}, ${column})`),
  )
  const { rows } = await sql<{ keyId: string; rows: number }>`
    select amo_key_id(i.row->>c.name) as "keyId", count(distinct (i.name, i."accountId"))::int as rows
    from escrow_images i join (values ${sql.join(values)}) c(relation, name)
      on c.relation = i.relation
    where i.row->>c.name is not null and amo_key_id(i.row->>c.name) <> all(${keyIds}::text[])
    group by 1 order by 1
  `.execute(db)
  return rows
}

async function findNewest(db: Kysely<Tables>): Promise<string | null> {
  const { rows } = await sql<{ at: string | null }>`
    select to_json(max(at)) #>> '{}' as at from escrow_images
  `.execute(db)
  return rows[0]?.at ?? null
}
