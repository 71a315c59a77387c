import { type Kysely, sql } from 'kysely'
import type { Row, Tables } from '../db/tables.ts'
import { POST_LIMIT_MS } from './post.ts'

/** An attempt and the statement that stores its result end within this time. */
const LEASE_MS = 2 * POST_LIMIT_MS
/** After this many failed attempts, later messages of the account may pass. */
export const PASSABLE_AFTER = 3

/** A delivery that this process may attempt now. */
export type Claimed = Pick<
  Row<'amo_deliveries'>,
  'id' | 'endpointId' | 'messageId' | 'kind' | 'eventIds' | 'integration' | 'attempts' | 'history'
> & {
  /** The id of the claim. */
  owner: string
}

const IS_FREE = sql`d.state = 'pending' and d."nextAttemptAt" <= now()
  and (d."leaseUntil" is null or d."leaseUntil" < clock_timestamp())`

/**
 * A copy of the database sends nothing until it is adopted. Nothing is sent to a disabled endpoint.
 */
const maySend = (deploymentId: string) => sql`e.state = 'active'
  and exists (select from amo_deployment where "deploymentId" = ${deploymentId})`

/** Returns the endpoints that something is due for. */
export async function findDueEndpoints(
  db: Kysely<Tables>,
  deploymentId: string,
): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select e.id from amo_endpoints e
    where ${maySend(deploymentId)}
      and exists (select from amo_deliveries d where d."endpointId" = e.id and ${IS_FREE})
  `.execute(db)
  return rows.map(({ id }) => id)
}

/**
 * Takes due deliveries of one endpoint under a lease. Rows that another replica is taking are
 * skipped. A message waits while an earlier one of its account has fewer than three failed
 * attempts.
 */
export async function claimDeliveries(
  db: Kysely<Tables>,
  claim: { endpointId: string; deploymentId: string; owner: string; limit: number },
): Promise<Claimed[]> {
  const { endpointId, deploymentId, owner, limit } = claim
  const { rows } = await sql<Claimed>`
    with due as (
      select d.id from amo_deliveries d join amo_endpoints e on e.id = d."endpointId"
      where d."endpointId" = ${endpointId} and ${maySend(deploymentId)} and ${IS_FREE}
        and not exists (
          select from amo_deliveries earlier where earlier.id = any(d."afterIds")
            and earlier.state = 'pending' and earlier.attempts < ${PASSABLE_AFTER})
      order by d."nextAttemptAt", d.id limit ${limit}
      for update of d skip locked
    )
    update amo_deliveries d
    set owner = ${owner}, "leaseUntil" = clock_timestamp() + ${LEASE_MS} * interval '1 millisecond'
    from due where d.id = due.id
    returning d.id, d."endpointId", d."messageId", d.kind, d."eventIds", d.integration, d.attempts,
      d.history, d.owner
  `.execute(db)
  return rows.toSorted((left, right) => left.id - right.id)
}
