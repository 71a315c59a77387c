import { sql, type Transaction } from 'kysely'
import type { Row, Tables } from '../db/tables.ts'
import { addToGroup } from './delivery-group.ts'
import type { EventRow } from './event-json.ts'
import { addToFlapping, findFlapping, hurryFlapping } from './flapping.ts'
import { insertDelivery } from './insert-delivery.ts'
import { Lanes } from './lanes.ts'

type Endpoint = Pick<Row<'amo_endpoints'>, 'id' | 'types' | 'integrations' | 'grouped'>

/**
 * Creates the deliveries of events, for each active endpoint whose filter they pass. Runs in the
 * transaction of the sequencer, in the order of positions, one sequencer at a time.
 */
export async function fanOut(trx: Transaction<Tables>, events: readonly EventRow[]): Promise<void> {
  const endpoints = await lockEndpoints(trx)
  if (endpoints.length === 0) return
  const flapping = await findFlapping(trx, events)
  const dependents = await findDependents(trx, events)
  for (const endpoint of endpoints) {
    const wanted = events.filter((event) => isWanted(event, endpoint, dependents))
    const lanes = await Lanes.read(trx, endpoint.id, wanted)
    for (const event of wanted) {
      await deliver(trx, endpoint, event, lanes, flapping.has(event.id))
    }
  }
}

async function deliver(
  trx: Transaction<Tables>,
  endpoint: Endpoint,
  event: EventRow,
  lanes: Lanes,
  isFlapping: boolean,
): Promise<void> {
  if (endpoint.grouped && isFlapping) return addToFlapping(trx, endpoint.id, event, lanes)
  if (endpoint.grouped && event.type === 'account.reauth_required') {
    return addToGroup(trx, endpoint.id, event, lanes)
  }
  await hurryFlapping(trx, lanes.of(event))
  await insertDelivery(trx, endpoint.id, event, lanes)
}

/** Locks the active endpoints against their removal. Senders can change them meanwhile. */
function lockEndpoints(trx: Transaction<Tables>): Promise<Endpoint[]> {
  return trx
    .selectFrom('amo_endpoints')
    .select(['id', 'types', 'integrations', 'grouped'])
    .where('state', '=', 'active')
    .orderBy('id')
    .forKeyShare()
    .execute()
}

/** Integrations that depend on a platform, by the key of its breaker. */
type Dependents = ReadonlyMap<string, readonly string[]>

async function findDependents(
  trx: Transaction<Tables>,
  events: readonly EventRow[],
): Promise<Dependents> {
  const keys = events.flatMap(({ detail }) => detail.breaker ?? [])
  if (keys.length === 0) return new Map()
  const { rows } = await sql<{ key: string; integrations: string[] }>`
    select key, array_agg(integration) as integrations from amo_breaker_scopes
    where key = any(${keys}::text[]) group by key
  `.execute(trx)
  return new Map(rows.map(({ key, integrations }) => [key, integrations]))
}

function isWanted(event: EventRow, endpoint: Endpoint, dependents: Dependents): boolean {
  if (event.endpointId !== null) return event.endpointId === endpoint.id
  // Every other endpoint reports that one does not work any more.
  if (event.type === 'endpoint.disabled') return true
  if (endpoint.types !== null && !endpoint.types.includes(event.type)) return false
  const { integrations } = endpoint
  if (integrations === null) return true
  if (event.integration !== null) return integrations.includes(event.integration)
  const concerned = dependents.get(event.detail.breaker ?? '')
  return concerned === undefined || concerned.some((name) => integrations.includes(name))
}
