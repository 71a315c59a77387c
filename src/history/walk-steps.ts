import type { Attempt } from './attempt.ts'
import { MAX_STEPS } from './attempt.ts'
import type { Rule } from './finding.ts'

type Step = Attempt['steps'][number]

/** Results of an end that cannot make the account `reauth_required`. */
const KEEPS_STATUS: ReadonlySet<string> = new Set([
  'not_sent',
  'superseded',
  'postponed',
  'revived',
])

/** A broken rule within one attempt. */
interface Problem {
  rule: Rule
  atMs: number
  detail: string
}

/** What the steps of an attempt show. */
export interface Walk {
  problems: Problem[]
  /** Time of the last send; undefined: nothing was sent. */
  lastSentMs: number | undefined
  /** Since the last send, a probe reported the token alive. */
  isAlive: boolean
  /** When a pair was put into the row under this attempt. */
  committedMs: number | undefined
  /** Ends that may have made the account `reauth_required`, each with the probe's result before. */
  ends: { atMs: number; probed: string | undefined }[]
  /**
   * An older version wrote the steps, without probes. What it had proved is not known.
   */
  isOld: boolean
}

/** Reads the steps of an attempt from the first to the last. */
export function walkSteps(attempt: Attempt): Walk {
  const walk: Walk = {
    problems: [],
    lastSentMs: undefined,
    isAlive: false,
    committedMs: undefined,
    ends: [],
    isOld: attempt.steps.some(({ kind, result }) => kind === 'sent' && result === undefined),
  }
  const walker = new Walker(attempt, walk)
  for (const [nth, step] of attempt.steps.entries()) walker.take(step, nth)
  walker.end()
  return walk
}

class Walker {
  readonly #attempt: Attempt
  readonly #walk: Walk
  /** Some steps after the first one are missing. */
  readonly #isCut: boolean
  /** Who has the claim; undefined: not known, because steps are missing. */
  #owner: string | undefined
  #isOver = false
  #sends = 0
  #probed: string | undefined

  constructor(attempt: Attempt, walk: Walk) {
    this.#attempt = attempt
    this.#walk = walk
    this.#isCut = attempt.steps.length >= MAX_STEPS
  }

  take(step: Step, nth: number): void {
    const atMs = Date.parse(step.at)
    switch (step.kind) {
      case 'claimed':
      case 'reclaimed':
        if (nth === 0 && step.kind === 'reclaimed')
          this.#problem('send_without_claim', atMs, 'the attempt does not begin with a claim')
        this.#owner = nth === 0 && this.#isCut ? undefined : step.owner
        this.#isOver = this.#walk.committedMs !== undefined
        break
      case 'sent':
        this.#takeSend(step, atMs)
        break
      case 'probed':
        this.#probed = step.result
        if (step.result === 'alive') this.#walk.isAlive = true
        break
      case 'finished':
        if (step.result === 'revived') this.#walk.isAlive = true
        if (!KEEPS_STATUS.has(step.result ?? '')) {
          this.#walk.ends.push({ atMs, probed: this.#probed })
        }
        this.#isOver = true
        break
      case 'committed':
        this.#takeCommit(step, atMs)
    }
  }

  #takeSend({ owner, result }: Step, atMs: number): void {
    this.#sends += 1
    const isFirstKnown = this.#sends === 1
    if (this.#attempt.purpose === 'verdict')
      this.#problem('send_without_claim', atMs, 'the claim was for a probe only')
    else if (this.#isOver) this.#problem('send_without_claim', atMs, 'the attempt had ended')
    else if (this.#owner !== undefined && owner !== this.#owner)
      this.#problem('send_without_claim', atMs, `sent by ${owner}, claimed by ${this.#owner}`)
    const isAgain = !isFirstKnown && result === 'first'
    if (result === 'unproved' || isAgain)
      this.#problem('sent_again', atMs, 'sent again under the same claim, without a probe')
    this.#walk.lastSentMs = atMs
    this.#walk.isAlive = false
    this.#probed = undefined
  }

  #takeCommit({ result }: Step, atMs: number): void {
    this.#walk.committedMs ??= atMs
    this.#isOver = true
    if (this.#sends > 0 || this.#isCut || result === 'adopted') return
    this.#problem('send_not_recorded', atMs, 'a pair came back, and no send is on record')
  }

  /** Compares what the steps show with the columns. */
  end(): void {
    const { sendCount, steps } = this.#attempt
    if (this.#isCut || this.#sends === sendCount) return
    const atMs = Date.parse(steps.at(-1)?.at ?? '')
    this.#problem('send_not_recorded', atMs, `${sendCount} sends counted, ${this.#sends} on record`)
  }

  #problem(rule: Rule, atMs: number, detail: string): void {
    this.#walk.problems.push({ rule, atMs, detail })
  }
}
