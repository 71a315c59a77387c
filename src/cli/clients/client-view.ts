import type { Static } from 'typebox'
import type { ClientSchema } from '../../contract/clients.ts'
import { callPages } from '../common/broker-api.ts'
import { Failure, UsageError } from '../common/failure.ts'
import { printFields, printJson, relative, type Table, timeText } from '../common/output.ts'

export type Client = Static<typeof ClientSchema>
export type Grant = Client['grants'][number]

export interface MintedKey {
  client: Client
  key_id: string
  key: string
}

export const CLIENT_NAME = ['<client>', 'name of the client'] as const

export const CLIENT_TABLE: Table<Client> = {
  columns: [
    { title: 'CLIENT', of: ({ name }) => name },
    { title: 'ROLE', of: ({ role }) => role },
    { title: 'GRANTS', of: ({ grants }) => grants.map(grantText).join(' ') || null },
    { title: 'KEYS', of: ({ keys }) => keys.map((key) => key.key_id).join(' ') || null },
    { title: 'REVOKED', of: (client) => relative(client.revoked_at) },
  ],
  empty: 'no clients: OPERATOR_KEY is the only key',
  note: (client) => (lacksGrants(client) ? `no grants: ${howToGrant(client)}` : undefined),
}

/** Returns a client. Throws `Failure` if there is none of that name. */
export async function findClient(name: string): Promise<Client> {
  const all = await callPages<Client>('/clients', 'clients')
  const client = all.find((each) => each.name === name)
  if (client !== undefined) return client
  throw new Failure(`there is no client "${name}"`, {
    code: 'client_not_found',
    remedy: 'amo-broker clients list shows the names.',
  })
}

/** Returns the path of a client, or of something below it. Throws `UsageError`. */
export function clientPath(name: string, below = ''): string {
  if (name === '') throw new UsageError('the name of the client is empty')
  return `/clients/${encodeURIComponent(name)}${below}`
}

/** Parses grants written as `integration/account`. Throws `UsageError`. */
export function grantsFrom(texts: string[]): Grant[] {
  return texts.map((text) => {
    const [integration, account, ...more] = text.split('/')
    if (!integration || !account || more.length > 0) {
      throw new UsageError(`"${text}" is not a grant: write integration/account, or integration/*`)
    }
    return { integration, account }
  })
}

/** Prints one client in full. */
export function showClient(client: Client, json: true | undefined): void {
  if (json) {
    printJson(client)
    return
  }
  const keys = client.keys.map(({ key_id, expires_at }) =>
    expires_at === null ? key_id : `${key_id} (expires ${relative(expires_at)})`,
  )
  printFields({
    client: client.name,
    role: client.role,
    grants: client.grants.map(grantText).join(' ') || null,
    keys: keys.join(', ') || null,
    created: timeText(client.created_at),
    revoked: client.revoked_at === null ? undefined : timeText(client.revoked_at),
  })
  warnWithoutGrants(client)
}

/** Prints a new key on standard output and everything else on standard error. */
export function showKey(minted: MintedKey, json: true | undefined): void {
  if (json) {
    printJson(minted)
    return
  }
  console.log(minted.key)
  console.error(`Key ${minted.key_id} of ${minted.client.name}. It is not shown again.`)
}

/** Warns about a reader that can read no token. */
export function warnWithoutGrants(client: Client): void {
  if (!lacksGrants(client)) return
  console.error(`Warning: ${client.name} has no grants, so it can read no token yet.`)
  console.error(`To grant an account: ${howToGrant(client)}`)
}

/** Returns a grant as it is written on the command line. */
export function grantText({ integration, account }: Grant): string {
  return `${integration}/${account}`
}

function lacksGrants({ role, grants, revoked_at }: Client): boolean {
  return role === 'reader' && grants.length === 0 && revoked_at === null
}

function howToGrant({ name }: Client): string {
  return `amo-broker clients grant ${name} <integration>/<account>`
}
