import { setTimeout as delay } from 'node:timers/promises'
import type { Answer } from './answer.ts'
import { nameOf } from './claim.ts'
import { type CommitResult, commitAnswer } from './commit.ts'
import type { Engine } from './engine.ts'

const FIRST_RETRY_MS = 100
const MAX_RETRY_MS = 5_000

/** Success: committed however long it takes, for the pair is nowhere else; kept until a newer one is. */
export async function storeAnswer(engine: Engine, answer: Answer): Promise<void> {
  const { log } = engine
  let result: CommitResult | undefined
  for (let waitMs = FIRST_RETRY_MS; result === undefined; waitMs = 2 * waitMs) {
    try {
      result = await tryToStore(engine, answer)
    } catch (error) {
      log.error({ err: error, ...nameOf(answer) }, 'refreshed token pair not stored yet')
      await delay(Math.min(waitMs, MAX_RETRY_MS))
    }
  }
}

/** One try, for answers that are kept: throws when the database does not take it. */
export async function tryToStore(engine: Engine, answer: Answer): Promise<CommitResult> {
  const { committer, log } = engine
  const result = await commitAnswer(committer, answer)
  const level = result.result === 'parked' ? 'error' : 'info'
  log[level]({ ...nameOf(answer), ...result }, 'refreshed token pair stored')
  await tidyUp(engine, answer, result)
  return result
}

/** An answer after the time limit is an answer; a refusal then says nothing, for the claim may be another's. */
export function storeLate(engine: Engine, late: Promise<Answer | undefined>): void {
  const { log } = engine
  const committed = late.then((answer) =>
    answer === undefined ? undefined : storeAnswer(engine, answer),
  )
  engine.underWay.track(committed.catch((err) => log.error({ err }, 'late answer broke off')))
}

/** What follows a commit and may fail without harm. */
async function tidyUp(engine: Engine, answer: Answer, result: CommitResult): Promise<void> {
  const { spool, integrations, log } = engine
  try {
    if (result.result === 'parked') await spool.forget(answer)
    if (result.result !== 'committed') return
    await spool.forgetOlder(answer)
    await integrations.recordError(answer.integration, null)
  } catch (err) {
    log.warn({ err, ...nameOf(answer) }, 'not tidied up after a commit')
  }
}
