import type { Logger } from 'pino'
import type { Act } from '../audit/act.ts'
import { type Caller, requireOperator } from '../clients/caller.ts'
import type { Database } from '../db/database.ts'
import { announceRotation } from '../pairs/early-rotation.ts'
import type { Acknowledgements } from './acknowledgements.ts'
import type { TokenDecision, TokenRequest } from './decision.ts'
import type { JoinedRefreshes } from './join-refresh.ts'
import type { TokenReader } from './reader.ts'
import { deadlineOf, restOfWaitMs, withinDeadline } from './request-deadline.ts'
import { storageUnavailable } from './unavailable.ts'

interface ForceDependencies {
  database: Database
  acknowledgements: Acknowledgements
  reader: TokenReader
  refreshes: JoinedRefreshes
  log: Logger
  times: { heartbeatMs: number; readWaitMs: number }
}

/** Rotates tokens before their promise ends. */
export class ForcedRotations {
  readonly #with: ForceDependencies

  constructor(dependencies: ForceDependencies) {
    this.#with = dependencies
  }

  /**
   * Announces the rotation, waits until no replica serves the old token, then refreshes. Everything
   * ends by HEARTBEAT_MS plus READ_WAIT_MS after the arrival of the request, plus 200 ms.
   * Throws `forbidden` unless the caller is an operator: the role is checked here because the body
   * of a report decides which of two operations it is. Throws also what `TokenReader.read` throws.
   */
  async force(caller: Caller, request: TokenRequest, act: Act): Promise<TokenDecision> {
    requireOperator(caller)
    const { database, times } = this.#with
    if (!database.storage.canWrite()) throw storageUnavailable()
    const deadlineMs = deadlineOf(request, times.readWaitMs) + times.heartbeatMs
    const inTime = { ...request, deadlineMs }
    return withinDeadline(inTime, this.#force(caller, inTime, act))
  }

  async #force(caller: Caller, request: TokenRequest, act: Act): Promise<TokenDecision> {
    const { database, acknowledgements, reader, refreshes, log, times } = this.#with
    const token = await reader.fresh(caller, request)
    const { integration, accountId: account, generation } = token
    const isHeard = await acknowledgements.announce(async (trx) => {
      await announceRotation(trx, token, generation, times.heartbeatMs)
      await act.record(trx, { account: token, generation })
    })
    log.info({ integration, account, generation, by: caller.name, isHeard }, 'refresh forced')
    if (isHeard) await announceRotation(database.db, token, generation, 0)
    return refreshes.join(token, request, restOfWaitMs(request, times.readWaitMs))
  }
}
