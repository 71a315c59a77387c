import type { Kysely } from 'kysely'
import type { Logger } from 'pino'
import type { Tables } from '../db/tables.ts'
import type { Profile, ProfileTable } from '../provider/profile-table.ts'
import { profileOf } from '../provider/profiles.ts'
import { OVERRIDES } from '../vault/bound-fields.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { provenSecretAt, secretAt } from '../vault/sealed-places.ts'
import type { Secret } from '../vault/secret.ts'
import type { Integration } from './integration.ts'
import { isAltered } from './is-altered.ts'
import {
  findFailing,
  findIntegrations,
  findOpenBreakers,
  type IntegrationRow,
  type OpenBreaker,
} from './store.ts'

/**
 * Reads every integration whose provider is in the table. A newer version of the broker may know
 * more providers: their integrations are left alone.
 */
export async function readIntegrations(
  db: Kysely<Tables>,
  keyRing: KeyRing,
  { profiles, trustedSandboxes }: { profiles: ProfileTable; trustedSandboxes: Set<string> },
  log: Logger,
): Promise<ReadonlyMap<string, Integration>> {
  const rows = await findIntegrations(db)
  const breakers = await findOpenBreakers(db)
  const failing = await findFailing(db)
  const integrations = new Map<string, Integration>()
  for (const row of rows) {
    const { name, provider } = row
    if (!Object.hasOwn(profiles, provider)) {
      log.error({ integration: name, provider }, 'provider profile missing')
      continue
    }
    const own = breakers.filter(({ integration }) => integration === name)
    const integration = openIntegration(keyRing, row, own, failing.has(name), profiles)
    integration.isSandboxTrusted = trustedSandboxes.has(row.sandboxOrigin ?? '')
    integrations.set(name, integration)
  }
  return integrations
}

/** Builds an integration from its row. Throws when the table has no profile of its provider. */
function openIntegration(
  keyRing: KeyRing,
  row: IntegrationRow,
  breakers: OpenBreaker[],
  hasFailures: boolean,
  profiles: ProfileTable,
): Integration {
  let opened: Secret | undefined
  return {
    name: row.name,
    provider: row.provider,
    profile: profileOf(row.provider, readOverrides(row.profile), profiles),
    clientId: row.clientId,
    // Opened when it is used, so that a missing key stops only this integration.
    get clientSecret() {
      opened ??= keyRing.open(row.clientSecret, secretAt(row, 'clientSecret'))
      return opened
    },
    secretMark: row.clientSecret,
    get nextClientSecret() {
      const { nextClientSecret } = row
      if (nextClientSecret === null) return null
      return keyRing.open(nextClientSecret, secretAt(row, 'nextClientSecret'))
    },
    get provenSecret() {
      const { name, provenSecret } = row
      return provenSecret === null ? null : keyRing.open(provenSecret, provenSecretAt(name))
    },
    hasNextSecret: row.nextClientSecret !== null,
    redirectUri: row.redirectUri,
    sandboxOrigin: row.sandboxOrigin,
    isAltered: isAltered(keyRing, row),
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

/**
 * Returns the overrides that an integration may have. Others, such as more hosts, have no effect.
 */
function readOverrides(profile: Record<string, unknown>): Partial<Profile> {
  const known = OVERRIDES.filter((name) => Object.hasOwn(profile, name))
  return Object.fromEntries(known.map((name) => [name, profile[name]]))
}
