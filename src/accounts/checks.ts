import { sql } from 'kysely'
import type { Caller } from '../clients/caller.ts'
import type { Database } from '../db/database.ts'
import { BrokerError } from '../errors.ts'
import type { Integrations } from '../integrations/service.ts'
import type { Verdict } from '../refresh/verify.ts'
import type { HeldToken } from '../tokens/held-token.ts'
import type { Tokens } from '../tokens/service.ts'
import { Secret } from '../vault/secret.ts'
import type { AccountKey } from './account-key.ts'
import { type CheckLine, checkApi, explainVerdict } from './check.ts'

export interface AccountCheck extends AccountKey {
  domain: string | null
  apiUrl: string
  lines: CheckLine[]
}

export interface ChecksDependencies {
  database: Database
  integrations: Integrations
  tokens: Tokens
  /** Probes the refresh token under the account's claim. Undefined: it has none. */
  verify: (key: AccountKey) => Promise<Verdict | undefined>
}

/** Looks at accounts in earnest: the provider is asked, nothing is spent. */
export class AccountChecks {
  readonly #with: ChecksDependencies

  constructor(dependencies: ChecksDependencies) {
    this.#with = dependencies
  }

  /** With the token that siblings are given; of an account that awaits approval, the one it has. Throws what reading it throws. */
  async check(caller: Caller, held: HeldToken): Promise<AccountCheck> {
    const integration = await this.#with.integrations.load(held.integration)
    const host = held.domain ?? held.apiDomain ?? ''
    const token = held.status === 'pending' ? held.accessToken() : await this.#read(caller, held)
    const lines = await checkApi({ accountId: held.accountId, host, integration }, token)
    const beganMs = performance.now()
    const verdict = held.kind === 'oauth' ? await this.#with.verify(held) : undefined
    const tookMs = Math.round(performance.now() - beganMs)
    return {
      integration: held.integration,
      accountId: held.accountId,
      domain: held.domain,
      apiUrl: integration.sandboxOrigin ?? `https://${host}`,
      lines: verdict === undefined ? lines : [...lines, explainVerdict(verdict, tookMs)],
    }
  }

  /** Throws `shadow_outdated`, `generation_moved`, `provider_unavailable`. */
  async takeOver(held: HeldToken): Promise<void> {
    if (!held.shadow) return
    const verdict = await this.#with.verify(held)
    if (verdict === 'dead') {
      const detail = 'The provider does not accept the imported refresh token any more.'
      throw new BrokerError('shadow_outdated', detail)
    }
    if (verdict !== 'alive' && verdict !== undefined) {
      const detail = `The provider could not be asked whether the refresh token lives (${verdict}).`
      throw new BrokerError('provider_unavailable', detail, { retryAfterSeconds: 5 })
    }
    const { rows } = await sql`
      update amo_tokens set shadow = false, "nextAttemptAt" = "refreshAt", "updatedAt" = clock_timestamp()
      where integration = ${held.integration} and "accountId" = ${held.accountId}
        and generation = ${held.generation}
      returning generation
    `.execute(this.#with.database.claims)
    if (rows.length === 0) throw new BrokerError('generation_moved', 'It was imported again.')
  }

  async #read(caller: Caller, { integration, accountId }: HeldToken): Promise<Secret> {
    const { tokens } = this.#with
    const { body } = await tokens.read(caller, { name: String(accountId), integration })
    return new Secret(JSON.parse(body.toString()).access_token)
  }
}
