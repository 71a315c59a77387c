import { profileOf } from '../provider/profiles.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import type { Secret } from '../vault/secret.ts'
import type { Integration } from './service.ts'
import { type IntegrationRow, type OpenBreaker, secretAt } from './store.ts'

/** An integration out of its row. */
export function openIntegration(
  keyRing: KeyRing,
  row: IntegrationRow,
  breakers: OpenBreaker[],
  hasFailures: boolean,
): Integration {
  let opened: Secret | undefined
  return {
    name: row.name,
    provider: row.provider,
    profile: profileOf(row.provider, row.profile),
    clientId: row.clientId,
    // Opened when it is used: one integration under a key that is gone must not take the others along.
    get clientSecret() {
      opened ??= keyRing.open(row.clientSecret, secretAt(row.name, 'clientSecret'))
      return opened
    },
    secretMark: row.clientSecret,
    get nextClientSecret() {
      const { name, nextClientSecret } = row
      if (nextClientSecret === null) return null
      return keyRing.open(nextClientSecret, secretAt(name, 'nextClientSecret'))
    },
    hasNextSecret: row.nextClientSecret !== null,
    redirectUri: row.redirectUri,
    sandboxOrigin: row.sandboxOrigin,
    state: row.state,
    stateReason: row.stateReason,
    acceptsInstalls: row.acceptsInstalls,
    external: row.external,
    provisionalUntil: row.provisionalUntil,
    lastErrorCode: row.lastErrorCode,
    lastErrorAt: row.lastErrorAt,
    pacePerSecond: row.pacePerSecond,
    breakers,
    hasFailures,
  }
}
