import { REFUSALS } from '../provider/refusals.ts'
import type { AccountEvents } from './account-events.ts'
import type { Attempt } from './attempt.ts'
import type { Finding, Rule } from './finding.ts'
import { type Walk, walkSteps } from './walk-steps.ts'

/** The statement that ends an attempt also changes the status, milliseconds later. */
const SAME_STATEMENT_MS = 5_000
/** Refusals by which the provider proves that the token is unspent. */
const UNSPENT_KINDS: ReadonlySet<string> = new Set(['not_spent', 'moved', 'configuration'])

interface Send {
  attempt: number
  generation: number
  atMs: number
}

/** Checks the attempts of one account, in the order of their ids. */
export class AccountHistory {
  readonly findings: Finding[] = []
  readonly #first: Attempt
  readonly #importMs: number[]
  /** Times at which the account became `reauth_required`, not explained by an attempt yet. */
  readonly #reauthMs: Set<number>
  #previous: Attempt | undefined
  #newestGeneration = 0
  /** The newest pair that an attempt has replaced, and when. */
  #replaced: { generation: number; atMs: number } | undefined
  /** Last sends that nothing has proved to be unspent, by fingerprint. */
  readonly #unproven = new Map<string, Send>()
  /** When a pair was put into the row, by fingerprint. */
  readonly #putMs = new Map<string, number>()

  constructor(first: Attempt, events: AccountEvents | undefined) {
    this.#first = first
    this.#importMs = events?.importMs ?? []
    this.#reauthMs = new Set(events?.reauthMs)
  }

  /** Checks the next attempt. */
  add(attempt: Attempt): void {
    const walk = walkSteps(attempt)
    // A parked pair has a row of its own here, which no claim was made for.
    if (attempt.owner !== 'parked' && attempt.steps.length > 0) this.#check(attempt, walk)
    this.#notePut(attempt, walk)
  }

  #check(attempt: Attempt, walk: Walk): void {
    for (const { rule, atMs, detail } of walk.problems) this.#find(rule, attempt, atMs, detail)
    this.#checkOrder(attempt)
    this.#checkSend(attempt, walk)
    this.#checkEnds(attempt, walk)
    this.#previous = attempt
  }

  /** Checks what only the whole history shows. */
  end(): void {
    const { rowGeneration } = this.#first
    const last = this.#previous ?? this.#first
    for (const atMs of this.#reauthMs) {
      this.#find('reauth_without_probe', undefined, atMs, 'no attempt on record led to it')
    }
    if (rowGeneration === null) return
    const replaced = this.#replaced?.generation ?? -1
    if (rowGeneration >= this.#newestGeneration && rowGeneration > replaced) return
    const newest = Math.max(this.#newestGeneration, replaced)
    const detail = `the row has generation ${rowGeneration}, attempts on record had ${newest}`
    this.#find('generation_order', last, last.claimedAt.getTime(), detail)
  }

  #checkOrder(attempt: Attempt): void {
    const previous = this.#previous
    const claimedMs = attempt.claimedAt.getTime()
    if (previous !== undefined) {
      const endMs = previous.finishedAt?.getTime() ?? Number.POSITIVE_INFINITY
      if (claimedMs < endMs)
        this.#find('claims_overlap', attempt, claimedMs, `attempt ${previous.id} had not ended`)
    }
    const replaced = this.#replaced
    const isReplaced =
      replaced !== undefined &&
      attempt.generation <= replaced.generation &&
      claimedMs > replaced.atMs
    if (attempt.generation < this.#newestGeneration || isReplaced) {
      const detail = `claimed for generation ${attempt.generation}, after ${this.#newestGeneration}`
      this.#find('generation_order', attempt, claimedMs, detail)
    }
    this.#newestGeneration = Math.max(this.#newestGeneration, attempt.generation)
  }

  /** A token that was sent before must have been proved unspent since, or stored again. */
  #checkSend(attempt: Attempt, walk: Walk): void {
    const { fingerprint, id, generation } = attempt
    const { lastSentMs } = walk
    const earlier = this.#unproven.get(fingerprint)
    if (walk.isAlive || (lastSentMs !== undefined && isProvedUnspent(attempt, walk)))
      this.#unproven.delete(fingerprint)
    else if (lastSentMs !== undefined)
      this.#unproven.set(fingerprint, { attempt: id, generation, atMs: lastSentMs })
    if (earlier === undefined || attempt.sendCount === 0) return
    if (generation !== earlier.generation && this.#wasPutAgain(fingerprint, earlier)) return
    const detail = `attempt ${earlier.attempt} had sent it, and nothing since proved it unspent`
    this.#find('sent_again', attempt, attempt.claimedAt.getTime(), detail)
  }

  /**
   * Returns whether the pair was stored again: it was parked and found alive, or it was imported.
   */
  #wasPutAgain(fingerprint: string, { atMs }: Send): boolean {
    return (this.#putMs.get(fingerprint) ?? 0) > atMs || this.#importMs.some((each) => each > atMs)
  }

  /** An attempt that made the account `reauth_required` must have asked the provider. */
  #checkEnds(attempt: Attempt, walk: Walk): void {
    for (const { atMs, probed } of walk.ends) {
      const reauthMs = [...this.#reauthMs].find((each) => Math.abs(each - atMs) < SAME_STATEMENT_MS)
      if (reauthMs !== undefined) this.#reauthMs.delete(reauthMs)
      const isReauth = reauthMs !== undefined || attempt.outcome === 'lost'
      if (probed === 'none' || (isReauth && probed === 'alive')) {
        const said = probed === 'none' ? 'no probe is on record' : 'the probe said "alive"'
        this.#find('reauth_without_probe', attempt, atMs, said)
      }
    }
  }

  #notePut({ committedFingerprint, generation }: Attempt, { committedMs }: Walk): void {
    if (committedMs === undefined) return
    if (committedFingerprint !== null) {
      const before = this.#putMs.get(committedFingerprint) ?? 0
      this.#putMs.set(committedFingerprint, Math.max(before, committedMs))
    }
    if (generation > (this.#replaced?.generation ?? -1))
      this.#replaced = { generation, atMs: committedMs }
  }

  #find(rule: Rule, attempt: Attempt | undefined, atMs: number, detail: string): void {
    const { integration, accountId } = this.#first
    const at = new Date(atMs)
    this.findings.push({ rule, integration, accountId, attempt: attempt?.id ?? null, at, detail })
  }
}

/** Returns whether an attempt that sent its token ended with proof that it is unspent. */
function isProvedUnspent({ outcome, outcomeCode }: Attempt, { isOld }: Walk): boolean {
  if (outcome === 'not_sent') return true
  if (outcome !== 'refused') return false
  const refusal = Object.entries(REFUSALS).find(([code]) => code === outcomeCode)?.[1]
  return isOld || (refusal !== undefined && UNSPENT_KINDS.has(refusal.kind))
}
