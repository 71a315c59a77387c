import type { BookEntry } from '../../src/sandbox/books.ts'
import type { Harness } from './harness.ts'
import type { Replica } from './replica.ts'

/** A send is recorded this long before it arrives, at most. */
const RECORD_MS = 1_000

/**
 * Returns whether a failover has forgotten the record of the send before this one, and no replica
 * that was there could know of it: a response that is on the disk of a running replica must be
 * committed before anything is claimed.
 */
export function isForgottenSend(
  { sandbox, journal, replicas, cluster }: Harness,
  entry: BookEntry,
): boolean {
  const before = sandbox.world.books
    .list(0, Number.POSITIVE_INFINITY, entry.accountId)
    .findLast(({ seq, tokenId }) => seq < entry.seq && tokenId === entry.tokenId)
  if (before === undefined) return false
  const forgetting = cluster?.forgettings.find(
    ({ fromMs, toMs = Date.now() }) =>
      fromMs - RECORD_MS <= before.arrivedAt && before.arrivedAt <= toMs + RECORD_MS,
  )
  if (forgetting === undefined) return false
  const { toMs = Date.now() } = forgetting
  const isOnDisk = journal
    .of(entry.accountId ?? 0)
    .some(
      ({ step, atMs, replica, start }) =>
        step === 'journaled' &&
        before.arrivedAt <= atMs &&
        atMs <= Math.min(entry.arrivedAt, toMs) &&
        isPresent(replicas, replica, start, toMs, entry.arrivedAt),
    )
  return !isOnDisk
}

/** Returns whether this process ran all the time, and could commit what is on its disk. */
function isPresent(
  replicas: Replica[],
  name: string,
  start: number,
  fromMs: number,
  toMs: number,
): boolean {
  const life = replicas.find((replica) => replica.name === name)?.lives[start - 1]
  if (life === undefined || (life.endedAtMs ?? Number.POSITIVE_INFINITY) < toMs) return false
  return !life.stops.some(({ fromMs: stopMs, toMs: endMs = Date.now() }) => {
    return stopMs < toMs && fromMs < endMs
  })
}
