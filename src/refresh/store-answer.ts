import { setTimeout as delay } from 'node:timers/promises'
import { type Answer, type Fence, type KeptAnswer, readKept } from './answer.ts'
import { nameOf } from './claim.ts'
import { type CommitResult, commitAnswer } from './commit.ts'
import type { Engine } from './engine.ts'
import { atStep } from './steps.ts'

const FIRST_RETRY_MS = 100
const MAX_RETRY_MS = 5_000

/** Success: committed however long it takes, for the pair is nowhere else; kept until a newer one is. */
export async function storeAnswer(engine: Engine, answer: Answer): Promise<CommitResult> {
  const { log } = engine
  for (let waitMs = FIRST_RETRY_MS; ; waitMs = 2 * waitMs) {
    try {
      return await tryToStore(engine, answer)
    } catch (error) {
      log.error({ err: error, ...nameOf(answer) }, 'refreshed token pair not stored yet')
      await delay(Math.min(waitMs, MAX_RETRY_MS))
    }
  }
}

/** One try, for answers that are kept: throws when the database does not take it. */
export async function tryToStore(engine: Engine, answer: Answer): Promise<CommitResult> {
  const { committer, log } = engine
  atStep('committing', answer)
  const result = await commitAnswer(committer, answer)
  atStep('committed', answer)
  log[LEVELS[result.result]]({ ...nameOf(answer), ...result }, 'refreshed token pair stored')
  await tidyUp(engine, answer, result)
  atStep('tidied', answer)
  return result
}

const LEVELS = {
  committed: 'info',
  already: 'debug',
  replaced: 'debug',
  parked: 'error',
  foreign: 'error',
  not_ours: 'warn',
  removed: 'warn',
} as const

/**
 * Commits the kept answer to this very token, if there is one: then there is nothing to ask the provider. False: none is
 * kept that holds a pair. Throws when a store cannot be asked, or the database does not take it.
 */
export async function storeKept(engine: Engine, fence: Fence): Promise<boolean> {
  return storeFirst(engine, fence, await engine.keptAnswers.find(fence))
}

/** The same for a token that was never sent: a store that cannot be asked is passed over, one that has it is not. */
export async function storeKeptIfReached(engine: Engine, fence: Fence): Promise<boolean> {
  const found = engine.keptAnswers.find(fence).catch((err) => {
    engine.log.debug({ err, ...nameOf(fence) }, 'kept answers not asked')
    return []
  })
  return storeFirst(engine, fence, await found)
}

async function storeFirst(engine: Engine, fence: Fence, all: KeptAnswer[]): Promise<boolean> {
  for (const kept of all) {
    const answer = readKept(kept)
    if (answer === undefined) continue
    const { result } = await tryToStore(engine, answer)
    if (result === 'foreign') continue
    engine.log.warn({ ...nameOf(fence), result }, 'kept answer found')
    return true
  }
  return false
}

/** An answer after the time limit is an answer; a refusal then says nothing, for the claim may be another's. */
export function storeLate(engine: Engine, late: Promise<Answer | undefined>): void {
  const { log } = engine
  const committed = late.then((answer) => answer && storeAnswer(engine, answer))
  engine.underWay.track(committed.catch((err) => log.error({ err }, 'late answer broke off')))
}

/** What follows a commit and may fail without harm. */
async function tidyUp(engine: Engine, answer: Answer, { result }: CommitResult): Promise<void> {
  const { keptAnswers, integrations, log } = engine
  try {
    if (result === 'removed') return await keptAnswers.forgetOlder(answer, answer.generation + 1)
    if (result === 'replaced') return await keptAnswers.forget(answer)
    // A parked pair as well: a failover may forget the ledger with the rest.
    await keptAnswers.markSettled(answer)
    if (result !== 'committed') return
    await keptAnswers.forgetOlder(answer, answer.generation)
    await integrations.recordError(answer.integration, null)
  } catch (err) {
    log.warn({ err, ...nameOf(answer) }, 'not tidied up after a commit')
  }
}
