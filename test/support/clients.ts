import { pino } from 'pino'
import type { Test } from 'tap'
import { Agent, request } from 'undici'
import { clientMac } from '../../src/clients/signature.ts'
import { readDeployment } from '../../src/db/deployment.ts'
import { openPostgres } from '../../src/db/postgres.ts'
import { KeyRing } from '../../src/vault/key-ring.ts'
import { KeyedHash } from '../../src/vault/keyed-hash.ts'
import { Secret } from '../../src/vault/secret.ts'
import { type Answer, ENCRYPTION_KEYS, OPERATOR_KEY, type TestBroker } from './broker.ts'
import { query } from './database.ts'

/**
 * Failed requests from one address. Few enough that the limit on guessing keys delays none of them.
 * Linux accepts connections from every address of 127.0.0.0/8.
 */
const FAILURES_AN_ADDRESS = 4
/** Addresses of one network, from .1 on. */
const ADDRESSES = 250

export interface GrantOrder {
  integration: string
  account: string
}

/** Creates a client and returns its key. */
export async function makeClient(
  broker: TestBroker,
  name: string,
  role: 'reader' | 'monitor' | 'operator',
  grants: GrantOrder[] = [],
): Promise<string> {
  const { status, body } = await broker.post('/clients', { name, role, grants })
  if (status !== 201) throw new Error(`no client: ${status} ${JSON.stringify(body)}`)
  return body.key
}

/** Creates a client and lets its key expire. */
export async function makeExpired(
  broker: TestBroker,
  databaseUrl: string,
  name: string,
): Promise<string> {
  const key = await makeClient(broker, name, 'operator')
  await query(
    databaseUrl,
    `update amo_clients set keys = jsonb_set(keys, '{0,expiresAt}', to_jsonb(now() - interval '1 second'))
     where name = $1`,
    [name],
  )
  await signClient(databaseUrl, name)
  return key
}

/** Signs a client that a test has changed in the table, as only the broker can. */
export async function signClient(databaseUrl: string, name: string): Promise<void> {
  const url = new Secret(databaseUrl)
  const { db, close } = openPostgres(url, url, pino({ level: 'silent' }))
  try {
    const { rootSecret } = await readDeployment(db, KeyRing.parse(ENCRYPTION_KEYS))
    const hash = new KeyedHash(() => rootSecret, 'client-key')
    const [client] = await db
      .selectFrom('amo_clients')
      .selectAll()
      .where('name', '=', name)
      .execute()
    if (client === undefined) throw new Error(`there is no client ${name}`)
    const mac = clientMac(hash, client)
    await db.updateTable('amo_clients').set({ mac }).where('name', '=', name).execute()
  } finally {
    await close()
  }
}

/** Creates a client and revokes it. */
export async function makeRevoked(broker: TestBroker, name: string): Promise<string> {
  const key = await makeClient(broker, name, 'operator')
  const { status } = await ask(broker.url, 'DELETE', `/clients/${name}`, {
    authorization: `Bearer ${OPERATOR_KEY}`,
  })
  if (status !== 204) throw new Error(`not revoked: ${status}`)
  return key
}

export type Asker = (
  url: string,
  method: string,
  path: string,
  headers?: Record<string, string>,
  body?: unknown,
) => Promise<Answer>

/** Returns a function that sends each few requests from another address of this machine. */
export function fromManyAddresses(t: Test, network: number): Asker {
  let asked = 0
  const agents = new Map<number, Agent>()
  t.teardown(() => Promise.all([...agents.values()].map((agent) => agent.destroy())))
  return (url, method, path, headers, body) => {
    const host = Math.floor(asked++ / FAILURES_AN_ADDRESS)
    let agent = agents.get(host)
    if (agent === undefined) {
      agent = new Agent({
        localAddress: `127.${Math.floor(host / ADDRESSES)}.${network}.${1 + (host % ADDRESSES)}`,
      })
      agents.set(host, agent)
    }
    return ask(url, method, path, headers, body, agent)
  }
}

async function firstChunkOf(body: AsyncIterable<Buffer>): Promise<string> {
  for await (const chunk of body) return String(chunk)
  return ''
}

export async function ask(
  url: string,
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body?: unknown,
  dispatcher?: Agent,
): Promise<Answer> {
  const answer = await request(url + path, {
    method: method as 'GET',
    headers: body === undefined ? headers : { 'content-type': 'application/json', ...headers },
    body: body === undefined ? null : JSON.stringify(body),
    ...(dispatcher === undefined ? {} : { dispatcher }),
  })
  // A stream does not end by itself: its first block is enough.
  const isStream = answer.headers['content-type'] === 'text/event-stream'
  const text = isStream ? await firstChunkOf(answer.body) : await answer.body.text()
  const isJson = String(answer.headers['content-type']).includes('json') && text !== ''
  return {
    status: answer.statusCode,
    headers: new Headers(
      Object.entries(answer.headers).flatMap(([name, value]) =>
        [value ?? []].flat().map((each): [string, string] => [name, each]),
      ),
    ),
    body: isJson ? JSON.parse(text) : text,
  }
}
