import type { Caller } from '../clients/caller.ts'
import type { Database } from '../db/database.ts'
import { BrokerError } from '../lib/errors.ts'
import { withTimeout } from '../lib/with-timeout.ts'
import { markAccessTokenDead } from '../pairs/early-rotation.ts'
import type { TokenCache } from './cache.ts'
import type { CachedToken } from './cached-token.ts'
import type { TokenDecision, TokenRequest } from './decision.ts'
import type { TokenReader } from './reader.ts'
import { deadlineOf, restOfWaitMs, withinDeadline } from './request-deadline.ts'
import type { TokenProbes } from './token-probes.ts'
import { storageUnavailable } from './unavailable.ts'
import type { UnknownGenerations } from './unknown-generations.ts'

const UNANSWERED = { state: 'unclear' } as const

interface ReportDependencies {
  database: Database
  cache: TokenCache
  reader: TokenReader
  probes: TokenProbes
  unknownGenerations: UnknownGenerations
  /** Limits the wait for a probe. */
  readWaitMs: number
}

/** Handles reports of access tokens that got a 401. */
export class TokenReports {
  readonly #with: ReportDependencies

  constructor(dependencies: ReportDependencies) {
    this.#with = dependencies
  }

  /**
   * Handles the report of one generation. If a newer token exists, returns it. Otherwise asks the
   * provider: a token that lives is returned again, a dead one is rotated at once.
   * Everything ends by READ_WAIT_MS after the arrival of the request, plus 200 ms.
   * Throws what `TokenReader.read` throws, `too_many_reports` and `unknown_generation`.
   */
  async report(caller: Caller, request: TokenRequest, generation: number): Promise<TokenDecision> {
    const inTime = { ...request, deadlineMs: deadlineOf(request, this.#with.readWaitMs) }
    return withinDeadline(inTime, this.#report(caller, inTime, generation))
  }

  async #report(caller: Caller, request: TokenRequest, generation: number): Promise<TokenDecision> {
    const { database, cache, reader, probes, readWaitMs } = this.#with
    const token = await reader.fresh(caller, request)
    if (generation < token.generation || token.isDead) return reader.read(caller, request)
    // What the provider says could not be recorded.
    if (!database.storage.canWrite()) throw storageUnavailable()
    if (generation > token.generation) return this.#recover(caller, request, token, generation)
    const probe = probes.probe(caller.name, token)
    const { state } = await withTimeout(probe, restOfWaitMs(request, readWaitMs), UNANSWERED)
    if (state === 'unclear') {
      const detail = 'The provider could not be asked whether the token lives.'
      throw new BrokerError('provider_unavailable', detail, { retryAfterSeconds: 5 })
    }
    if (state === 'dead') {
      await markAccessTokenDead(database.db, token, token.generation)
      cache.onChange(token, token.generation)
    }
    return reader.read(caller, request)
  }

  /**
   * Handles a report of a generation that PostgreSQL does not know. Commits the journaled response
   * if there is one: then a failover has lost its commit. Throws `unknown_generation`.
   */
  async #recover(
    caller: Caller,
    request: TokenRequest,
    token: CachedToken,
    reported: number,
  ): Promise<TokenDecision> {
    const { cache, reader, probes, unknownGenerations } = this.#with
    probes.countReport(caller.name, token)
    if (await unknownGenerations.find(token, reported)) {
      cache.onChange(token, reported)
      return reader.read(caller, request)
    }
    throw new BrokerError('unknown_generation', `The account has no generation ${reported}.`)
  }
}
