import type { Test } from 'tap'
import { Agent, request } from 'undici'
import { type Answer, OPERATOR_KEY, type TestBroker } from './broker.ts'
import { query } from './database.ts'

/** Linux answers on all of 127.0.0.0/8. Few failures an address, so that none is held up by the limit on guessing. */
const FAILURES_AN_ADDRESS = 4

export interface GrantOrder {
  integration: string
  account: string
}

/** Makes a client and returns its key. */
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

/** Makes a client whose key has expired since. */
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
  return key
}

/** Makes a client and revokes it. */
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

/** Asks from one address of this machine after the other. */
export function fromManyAddresses(t: Test, network: number): Asker {
  let asked = 0
  const agents = new Map<number, Agent>()
  t.teardown(() => Promise.all([...agents.values()].map((agent) => agent.destroy())))
  return (url, method, path, headers, body) => {
    const host = 1 + Math.floor(asked++ / FAILURES_AN_ADDRESS)
    let agent = agents.get(host)
    if (agent === undefined) {
      agent = new Agent({ localAddress: `127.0.${network}.${host}` })
      agents.set(host, agent)
    }
    return ask(url, method, path, headers, body, agent)
  }
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
  const text = await answer.body.text()
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
