const MIN_CONNECTIONS = 4
/** PostgreSQL has 100 connections by default, for all replicas and everybody else. */
const MAX_CONNECTIONS = 16
/**
 * A refresh takes about ten round trips on this pool. At 50 ms each, a connection carries two of
 * them a second.
 */
const REFRESHES_PER_CONNECTION = 2

/** Returns the number of connections for claims and commits at this pace. */
export function claimPoolSizeFor(pacePerSecond: number): number {
  const needed = Math.ceil(pacePerSecond / REFRESHES_PER_CONNECTION)
  return Math.min(MAX_CONNECTIONS, Math.max(MIN_CONNECTIONS, needed))
}
