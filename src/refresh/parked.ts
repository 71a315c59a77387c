import { sql } from 'kysely'
import type { AccountKey } from '../accounts/account-key.ts'
import { type Answer, pairFromJson } from './answer.ts'
import { type Claim, nameOf } from './claim.ts'
import { type CommitResult, commitAnswer } from './commit.ts'
import type { Engine } from './engine.ts'
import { parkedAt } from './parking.ts'
import { probeToken } from './probe-claim.ts'

/** Older ones are dead: refresh tokens live for three months (provider page, part 3). */
const LOOK_BACK_DAYS = 90
const LOOK = 5
const SWEEP = 50

interface ParkedPair extends AccountKey {
  id: number
  generation: number
  fingerprint: string
  parkedPair: string
  claimedAt: Date
}

/**
 * Before an account is condemned, the pairs that were parked for it are probed, the newest first: one that lives takes the
 * place of the dead one, under the claim's fence. False: none lives.
 */
export async function adoptParked(engine: Engine, claim: Claim): Promise<boolean> {
  const { claims, keyRing } = engine.committer
  const { rows } = await sql<ParkedPair>`
    select id, integration, "accountId", generation, "parkedPair", "claimedAt" from amo_refresh_attempts
    where integration = ${claim.integration} and "accountId" = ${claim.accountId}
      and "parkedPair" is not null and "claimedAt" > clock_timestamp() - ${LOOK_BACK_DAYS} * interval '1 day'
    order by id desc limit ${LOOK}
  `.execute(claims)
  for (const row of rows) {
    const pair = pairFromJson(keyRing.open(row.parkedPair, parkedAt(row)).reveal())
    if ((await probeToken(engine, claim, pair.refreshToken)).verdict !== 'alive') continue
    // The refresh token is this account's, says the provider; its access token may name another: it is given up for dead.
    const isForeign = pair.claims !== undefined && pair.claims.accountId !== claim.accountId
    const adopted = isForeign ? { ...pair, claims: undefined } : pair
    const answer = {
      ...answerWith(claim, row, adopted),
      isAccessDead: isForeign,
      adoptedBy: { owner: engine.claimant.owner, sendCount: claim.sendCount },
    }
    const { result } = await commitAnswer(engine.committer, answer)
    if (!isInRow(result)) return false
    await forgetParked(engine, row)
    engine.log.warn(nameOf(claim), 'parked token pair adopted')
    return true
  }
  return false
}

/** The pairs whose fence fits again: a database that lost its newest commits is back at the pair before. */
export async function storeParked(engine: Engine): Promise<void> {
  const { claims, keyRing } = engine.committer
  const { rows } = await sql<ParkedPair>`
    select a.id, a.integration, a."accountId", a.generation, a."refreshTokenFingerprint" as fingerprint,
      a."parkedPair", a."claimedAt"
    from amo_refresh_attempts a join amo_tokens t on t.integration = a.integration
      and t."accountId" = a."accountId" and t.generation = a.generation
      and t."refreshTokenFingerprint" = a."refreshTokenFingerprint"
    where a."parkedPair" is not null and t.status <> 'disconnected' and not t.shadow
      and exists (select from amo_deployment where "deploymentId" = ${engine.claimant.deploymentId})
    order by a.id limit ${SWEEP}
  `.execute(claims)
  for (const row of rows) {
    const pair = pairFromJson(keyRing.open(row.parkedPair, parkedAt(row)).reveal())
    const fence = { ...row, attemptId: row.id }
    const { result } = await commitAnswer(engine.committer, answerWith(fence, row, pair))
    if (!isInRow(result)) continue
    await forgetParked(engine, row)
    engine.log.error({ ...nameOf(row), result }, 'parked token pair fits again')
  }
}

/** Not in the other cases: the pair stays parked. */
function isInRow(result: CommitResult['result']): boolean {
  return result === 'committed' || result === 'already' || result === 'replaced'
}

/** It is, or has been, in the account's row. */
async function forgetParked({ committer }: Engine, { id }: ParkedPair): Promise<void> {
  await sql`update amo_refresh_attempts set "parkedPair" = null where id = ${id}`.execute(
    committer.claims,
  )
}

function answerWith(
  { integration, accountId, attemptId, generation, fingerprint }: Omit<Answer, 'pair' | 'sentAtMs'>,
  { claimedAt }: ParkedPair,
  pair: Answer['pair'],
): Answer {
  // When it was sent is not known any more: the token itself says when it was issued.
  const sentAtMs = (pair.claims?.issuedAtSeconds ?? claimedAt.getTime() / 1000) * 1000
  return { integration, accountId, attemptId, generation, fingerprint, pair, sentAtMs }
}
