import { BrokerError } from '../lib/errors.ts'
import type { ProviderName } from '../provider/profile-table.ts'
import type { OAuthClient } from '../provider/profiles.ts'
import type { Secret } from '../vault/secret.ts'
import type { SecretMark } from './next-client-secret.ts'
import type { OpenBreaker } from './store.ts'

/** One set of credentials at one provider. */
export interface Integration extends OAuthClient {
  name: string
  provider: ProviderName
  /**
   * Somebody else than the broker wrote fields that decide where its secret is sent. Nothing is
   * sent.
   */
  isAltered: boolean
  state: 'running' | 'paused' | 'halted'
  /** The reason of a halt, or the name of the operator who paused it. */
  stateReason: string | null
  acceptsInstalls: boolean
  /** Made by a button; it works in one account only. */
  external: boolean
  /** It is removed at this time unless its code was exchanged. */
  provisionalUntil: Date | null
  lastErrorCode: string | null
  lastErrorAt: Date | null
  pacePerSecond: number
  /** Nothing is sent while there is one. */
  breakers: OpenBreaker[]
  /** True when a breaker counts failures of the last minute, which a success clears. */
  hasFailures: boolean
  /** Identifies `clientSecret`. */
  secretMark: SecretMark
  /** The secret to try when the provider refuses the present one. Null: none. */
  readonly nextClientSecret: Secret | null
  hasNextSecret: boolean
  /** The secret that the provider accepted last. Null: none yet. */
  readonly provenSecret: Secret | null
}

export function unknownIntegration(name: string): BrokerError {
  return new BrokerError('integration_not_found', `There is no integration "${name}".`)
}
