import type { KeyRing } from '../vault/key-ring.ts'
import { escrowAt } from '../vault/sealed-places.ts'

/** The tables whose rows are in the escrow. */
export const RELATIONS = [
  'amo_integrations',
  'amo_clients',
  'amo_endpoints',
  'amo_removals',
  'amo_tokens',
  'amo_account_labels',
] as const

export type Relation = (typeof RELATIONS)[number]

/** The newest image of a row. */
export interface Image {
  relation: Relation
  name: string
  accountId: number
  /** PostgreSQL's time when the row was read. A later image of the same row replaces this one. */
  at: string
  /** The row with its sealed values as they are. Null: the row was deleted. */
  row: Record<string, unknown> | null
}

/** The first line of a segment. */
interface Header {
  segment: number
  /** The newest segment that was there when this one began. Null: there was none. */
  previous: number | null
}

/** The end of a snapshot: the segments from `snapshotFrom` on contain every row. */
export interface SnapshotEnd {
  snapshotFrom: number
  /** The tables that it has. A later version may have more. */
  relations: readonly Relation[]
  at: string
}

export type Entry = Header | Image | SnapshotEnd

/** The position of a line, which opens at no other one. */
export interface LinePlace {
  deploymentId: string
  segment: number
  line: number
}

/**
 * Builds a line. The deployment id stays readable, so that the escrow of another deployment is
 * recognised. The rest is sealed for its position: a line that was altered, moved or cut off does
 * not open.
 */
export function writeLine(keyRing: KeyRing, place: LinePlace, entry: Entry): string {
  const sealed = keyRing.seal(JSON.stringify(entry), escrowAt(place))
  return JSON.stringify({ deployment: place.deploymentId, sealed })
}

/**
 * Reads a line. Throws `KeyMissing` when its key is not loaded, and `ForeignEscrow`.
 * @returns undefined when the line is cut off or altered.
 */
export function readLine(keyRing: KeyRing, place: LinePlace, text: string): Entry | undefined {
  const outer = parse(text)
  if (typeof outer?.sealed !== 'string') return undefined
  if (outer.deployment !== place.deploymentId) throw new ForeignEscrow(String(outer.deployment))
  try {
    return JSON.parse(keyRing.open(outer.sealed, escrowAt(place)).reveal())
  } catch (error) {
    if (error instanceof Error && error.name === 'SealBroken') return undefined
    throw error
  }
}

/** The escrow belongs to another deployment. */
export class ForeignEscrow extends Error {
  override readonly name = 'ForeignEscrow'
  readonly deploymentId: string

  constructor(deploymentId: string) {
    super(`the escrow belongs to the deployment "${deploymentId}"`)
    this.deploymentId = deploymentId
  }
}

function parse(text: string): { deployment?: unknown; sealed?: unknown } | undefined {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
