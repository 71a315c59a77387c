import type { SandboxAccount } from '../../support/sandbox-accounts.ts'
import type { Harness } from '../harness.ts'
import type { Incident } from '../incidents.ts'
import type { Vitals } from '../pulse.ts'

/** Returns numbers in [0, 1) from the seed of the run. */
export type Random = () => number

export interface Fault {
  name: string
  /** Frequency in its lane relative to the other faults. Default 1. */
  weight?: number
  /** The brokers need minutes to recover. */
  isSlow?: boolean
  /** Injects the fault. Resolves when the next fault of its lane may come. */
  inject(harness: Harness, random: Random): Promise<void>
}

/** On any machine an account is refreshed, or becomes `reauth_required`, long before this. */
const RECOVERY_LIMIT_MS = 180_000
/**
 * Chooses among this many accounts that are due next, so that the fault comes soon and hits
 * different accounts.
 */
const CHOICE = 12
const NOT_BEFORE_MS = 400

export function pick<T>(list: readonly T[], random: Random): T {
  const picked = list[Math.floor(random() * list.length)]
  if (picked === undefined) throw new Error('nothing to pick from')
  return picked
}

export function between(from: number, to: number, random: Random): number {
  return from + random() * (to - from)
}

/** Chooses one of the accounts that are due next and that no other fault uses. Marks it as busy. */
export function takeSubject(harness: Harness, random: Random): SandboxAccount & { vitals: Vitals } {
  const nowMs = Date.now()
  const free = harness.subjects
    .filter(({ accountId }) => !harness.busy.has(accountId))
    .map((subject) => ({ ...subject, vitals: harness.pulse.now.get(subject.accountId) }))
    .filter((each): each is SandboxAccount & { vitals: Vitals } => each.vitals?.status === 'active')
    .filter(({ vitals }) => vitals.refreshAtMs > nowMs + NOT_BEFORE_MS)
    .sort((left, right) => left.vitals.refreshAtMs - right.vitals.refreshAtMs)
  const subject = pick(free.slice(0, CHOICE), random)
  harness.busy.add(subject.accountId)
  return subject
}

/** Waits until the account has a new pair, and records how it got the pair. */
export async function followUp(
  harness: Harness,
  incident: Incident,
  account: number,
  generation: number,
): Promise<void> {
  incident.account = account
  let neededReauth = false
  const tookMs = await harness.pulse.until(
    account,
    (vitals) => {
      neededReauth ||= vitals?.status === 'reauth_required'
      const isOver = vitals !== undefined && vitals.generation > generation
      return vitals?.status === 'active' && (isOver || neededReauth)
    },
    RECOVERY_LIMIT_MS,
  )
  harness.busy.delete(account)
  const isAuthorized = (harness.reauthorized.get(account) ?? 0) >= incident.atMs
  const good = isAuthorized ? 'authorized again' : neededReauth ? 'revived' : 'refreshed'
  harness.incidents.end(incident, tookMs === undefined ? 'NOT RECOVERED' : good, tookMs)
}

/** Returns the current generation of an account, or 0 when it has no row. */
export function generationOf(harness: Harness, account: number): number {
  return harness.pulse.now.get(account)?.generation ?? 0
}
