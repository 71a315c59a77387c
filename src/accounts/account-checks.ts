import { sql } from 'kysely'
import type { Act } from '../audit/act.ts'
import type { Caller } from '../clients/caller.ts'
import type { Database } from '../db/database.ts'
import type { Integrations } from '../integrations/directory.ts'
import type { AccountKey } from '../lib/account-key.ts'
import { BrokerError } from '../lib/errors.ts'
import type { CheckResult } from '../refresh/verify-account.ts'
import type { CachedToken } from '../tokens/cached-token.ts'
import { apiUrlOf } from '../tokens/decision.ts'
import type { TokenReader } from '../tokens/reader.ts'
import { type CheckLine, checkApi, explainProbe } from './api-check.ts'

export interface AccountCheck extends AccountKey {
  domain: string | null
  apiUrl: string
  lines: CheckLine[]
}

interface ChecksDependencies {
  database: Database
  integrations: Integrations
  reader: TokenReader
  /**
   * Probes the refresh token under the account's claim. Resolves to undefined when there is no
   * refresh token.
   */
  verify: (key: AccountKey) => Promise<CheckResult | undefined>
}

/** Checks accounts at the provider, without spending a refresh token. */
export class AccountChecks {
  readonly #with: ChecksDependencies

  constructor(dependencies: ChecksDependencies) {
    this.#with = dependencies
  }

  /**
   * Calls the account's API with the token that services get, then probes the refresh token. Of an
   * account that awaits approval it uses the stored token. The act is recorded first, because calls
   * cannot be taken back. Throws what `TokenReader.read` throws.
   */
  async check(caller: Caller, account: CachedToken, act: Act): Promise<AccountCheck> {
    const { database, integrations, reader, verify } = this.#with
    await act.record(database.db, { account })
    const { accountId, domain } = account
    const integration = await integrations.load(account.integration)
    const host = domain ?? account.apiDomain ?? ''
    const request = { name: String(accountId), integration: account.integration }
    const { token } =
      account.status === 'pending' ? { token: account } : await reader.read(caller, request)
    const lines = await checkApi({ accountId, host, integration }, token.accessToken())
    const beganMs = performance.now()
    const result = account.kind === 'oauth' ? await verify(account) : undefined
    const tookMs = Math.round(performance.now() - beganMs)
    return {
      integration: account.integration,
      accountId,
      domain,
      apiUrl: apiUrlOf(integration, account),
      lines: result === undefined ? lines : [...lines, explainProbe(result, tookMs)],
    }
  }

  /**
   * Ends the shadow of an imported account: this broker refreshes it from now on.
   * Throws `shadow_outdated`, `generation_moved`, `provider_unavailable`.
   */
  async endShadow(account: CachedToken, act: Act): Promise<void> {
    const { claims } = this.#with.database
    if (!account.shadow) return act.record(claims)
    const result = await this.#with.verify(account)
    if (result === 'dead') {
      const detail = 'The provider no longer accepts the imported refresh token.'
      throw new BrokerError('shadow_outdated', detail)
    }
    if (result !== 'alive' && result !== undefined) {
      const detail = `The provider could not be asked whether the refresh token lives (${result}).`
      throw new BrokerError('provider_unavailable', detail, { retryAfterSeconds: 5 })
    }
    await claims.transaction().execute(async (trx) => {
      const { rows } = await sql`
        update amo_tokens set shadow = false, "nextAttemptAt" = "refreshAt", "updatedAt" = clock_timestamp()
        where integration = ${account.integration} and "accountId" = ${account.accountId}
          and generation = ${account.generation}
        returning generation
      `.execute(trx)
      if (rows.length === 0) throw new BrokerError('generation_moved', 'It was imported again.')
      await act.record(trx)
    })
  }
}
