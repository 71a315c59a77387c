import { EVENT_TYPES } from '../../src/contract/events.ts'
import { type TestBroker, until } from './broker.ts'
import { query } from './database.ts'

/** Lets endpoints be on this machine. */
export const PRIVATE = { ENDPOINTS_ALLOW_PRIVATE: 'true' }

/** On a loaded machine the broker reports its own state at any time. */
const TYPES = EVENT_TYPES.filter((type) => !type.startsWith('broker.'))

/**
 * Creates an endpoint, by default for events of every type but the broker's state. Returns the
 * secret of a webhook.
 */
export async function makeEndpoint(
  broker: TestBroker,
  order: { name: string; kind?: string; [setting: string]: unknown },
): Promise<string> {
  const { status, body } = await broker.post('/endpoints', {
    kind: 'webhook',
    types: TYPES,
    ...order,
  })
  if (status !== 201) throw new Error(`no endpoint: ${status} ${JSON.stringify(body)}`)
  return body.signing_secret
}

/** Records an event of an account, as the transaction that changes it does. Returns its id. */
export async function emit(databaseUrl: string, accountId: number, type: string): Promise<string> {
  const [row] = await query(
    databaseUrl,
    `insert into amo_events (type, integration, "accountId", domain, state, reason)
     values ($2, 'amocrm', $1::bigint, 'a' || $1::bigint || '.amocrm.ru', 'active', 'grant_revoked') returning id`,
    [accountId, type],
  )
  return row?.id
}

export interface DeliveryRow {
  id: number
  messageId: string
  accountId: number
  state: string
  attempts: number
  /** Number of events in the message. */
  events: number
  lastStatus: number | null
  lastError: string | null
  /** Seconds from the last attempt to the next one. */
  wait: number
  history: { at: string; status?: number; code?: string; excerpt?: string }[]
}

/** Returns the deliveries to an endpoint in their order. */
export function deliveriesTo(databaseUrl: string, endpoint: string): Promise<DeliveryRow[]> {
  return query<DeliveryRow>(
    databaseUrl,
    `select d.id::int, d."messageId", d."accountId"::int, d.state, d.attempts, d."lastStatus",
       cardinality(d."eventIds") as events,
       d."lastError", d.history,
       extract(epoch from d."nextAttemptAt" - (d.history->-1->>'at')::timestamptz)::float8 as wait
     from amo_deliveries d join amo_endpoints e on e.id = d."endpointId"
     where e.name = $1 order by d.id`,
    [endpoint],
  )
}

/** Lets the time pass until the next attempt of what waits for one. */
export async function passTime(databaseUrl: string, endpoint: string): Promise<void> {
  await query(
    databaseUrl,
    `update amo_deliveries d set "nextAttemptAt" = clock_timestamp()
     from amo_endpoints e where e.id = d."endpointId" and e.name = $1 and d.state = 'pending'`,
    [endpoint],
  )
}

/** Waits until the deliveries to an endpoint look like this, and returns them. */
export async function untilDeliveries(
  databaseUrl: string,
  endpoint: string,
  condition: (rows: DeliveryRow[]) => boolean,
): Promise<DeliveryRow[]> {
  let rows: DeliveryRow[] = []
  await until(
    async () => {
      rows = await deliveriesTo(databaseUrl, endpoint)
      return condition(rows)
    },
    60_000,
    () => `deliveries to ${endpoint}: ${JSON.stringify(rows)} ${condition}`,
  )
  return rows
}
