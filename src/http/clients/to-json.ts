import type { Static } from 'typebox'
import type { MintedKey } from '../../clients/service.ts'
import type { ClientRow } from '../../clients/store.ts'
import type { ClientSchema } from '../../contract/clients.ts'

/**
 * Renders a client, without its keys themselves. Grants have the form in which they are requested.
 */
export function clientToJson(client: ClientRow): Static<typeof ClientSchema> {
  return {
    name: client.name,
    role: client.role,
    grants: client.grants.map(({ integration, accountId }) => ({
      integration,
      account: accountId === null ? '*' : String(accountId),
    })),
    keys: client.keys.map(({ id, createdAt, expiresAt }) => ({
      key_id: id,
      created_at: createdAt,
      expires_at: expiresAt,
    })),
    created_at: client.createdAt.toISOString(),
    revoked_at: client.revokedAt?.toISOString() ?? null,
  }
}

/** Renders a new key. No other response contains a key. */
export function mintedKeyToJson({ client, key, keyId }: MintedKey) {
  return { client: clientToJson(client), key_id: keyId, key: key.reveal() }
}
