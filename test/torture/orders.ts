import type { Step } from '../../src/refresh/steps.ts'

/** What a replica does to itself when its refresh comes to a step. */
export interface Order {
  /** Unique: an order that was carried out is not taken a second time from a list that crossed it on its way. */
  id: string
  step: Step
  /** Only for this account. */
  account?: number
  /** So many hits are let pass before. */
  skip?: number
  signal: 'SIGKILL' | 'SIGSTOP'
}

/** The descriptor that a replica writes its journal to: written in the same tick, so a kill loses none of it. */
export const JOURNAL_FD = 4

/** How far some refresh had come in a replica, and what the replica did to itself there. */
export interface JournalLine {
  step: Step
  account: number
  /** Milliseconds since 1970, by the true clock. */
  atMs: number
  order: Pick<Order, 'id' | 'signal'> | undefined
}

export function writeLine({ step, account, atMs, order }: JournalLine): string {
  return `${step} ${account} ${atMs} ${order?.signal ?? ''} ${order?.id ?? ''}\n`
}

/** Undefined for what is no line of a journal, such as one that a kill cut off. */
export function readLine(text: string): JournalLine | undefined {
  const [step, account, atMs, signal, id = ''] = text.split(' ')
  if (step === undefined || atMs === undefined) return undefined
  return {
    step: step as Step,
    account: Number(account),
    atMs: Number(atMs),
    order: signal === 'SIGKILL' || signal === 'SIGSTOP' ? { id, signal } : undefined,
  }
}
