import type { RefreshStep } from '../../src/lib/failpoint.ts'

/** Kills or stops a replica at a step of a refresh. The replica does it to itself. */
export interface Order {
  /**
   * Unique, so that an order already carried out is not repeated when an older list arrives late.
   */
  id: string
  step: RefreshStep
  /** Applies only to this account. */
  account?: number
  /** Ignores this many hits first. */
  skip?: number
  signal: 'SIGKILL' | 'SIGSTOP'
}

/**
 * The descriptor of a replica's journal. Lines are written in the same tick, so a kill loses none.
 */
export const JOURNAL_FD = 4

/** A step that a refresh reached in a replica, and the order that the replica carried out there. */
export interface JournalLine {
  step: RefreshStep
  account: number
  /** Milliseconds since 1970, by the unskewed clock. */
  atMs: number
  order: Pick<Order, 'id' | 'signal'> | undefined
}

export function writeLine({ step, account, atMs, order }: JournalLine): string {
  return `${step} ${account} ${atMs} ${order?.signal ?? ''} ${order?.id ?? ''}\n`
}

/** Returns undefined for a malformed line, such as one that a kill cut off. */
export function readLine(text: string): JournalLine | undefined {
  const [step, account, atMs, signal, id = ''] = text.split(' ')
  if (step === undefined || atMs === undefined) return undefined
  return {
    step: step as RefreshStep,
    account: Number(account),
    atMs: Number(atMs),
    order: signal === 'SIGKILL' || signal === 'SIGSTOP' ? { id, signal } : undefined,
  }
}
