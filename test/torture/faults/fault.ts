import type { Subject } from '../../support/subjects.ts'
import type { Incident } from '../incidents.ts'
import type { Vitals } from '../pulse.ts'
import type { Stage } from '../stage.ts'

/** Numbers in [0, 1), from the seed of the run. */
export type Random = () => number

export interface Fault {
  name: string
  /** How often it is chosen in its lane, beside the others; 1 by default. */
  weight?: number
  /** It takes minutes until the brokers look again. */
  isSlow?: boolean
  /** Does it, and resolves when the next fault of its lane may come. */
  inject(stage: Stage, random: Random): Promise<void>
}

/** An account is refreshed again, or condemned, long before this on any machine. */
const RECOVERY_LIMIT_MS = 180_000
/** Chosen among so many that are due next: the fault is met soon, and not always by the same ones. */
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

/** One of the accounts that are due next and that no fault works on; it is busy from here on. */
export function takeSubject(stage: Stage, random: Random): Subject & { vitals: Vitals } {
  const nowMs = Date.now()
  const free = stage.subjects
    .filter(({ accountId }) => !stage.busy.has(accountId))
    .map((subject) => ({ ...subject, vitals: stage.pulse.now.get(subject.accountId) }))
    .filter((each): each is Subject & { vitals: Vitals } => each.vitals?.status === 'active')
    .filter(({ vitals }) => vitals.refreshAtMs > nowMs + NOT_BEFORE_MS)
    .sort((left, right) => left.vitals.refreshAtMs - right.vitals.refreshAtMs)
  const subject = pick(free.slice(0, CHOICE), random)
  stage.busy.add(subject.accountId)
  return subject
}

/** Waits until the account has a new pair, and writes down how it came to it. */
export async function followUp(
  stage: Stage,
  incident: Incident,
  account: number,
  generation: number,
): Promise<void> {
  incident.account = account
  let isCondemned = false
  const tookMs = await stage.pulse.until(
    account,
    (vitals) => {
      isCondemned ||= vitals?.status === 'reauth_required'
      const isOver = vitals !== undefined && vitals.generation > generation
      return vitals?.status === 'active' && (isOver || isCondemned)
    },
    RECOVERY_LIMIT_MS,
  )
  stage.busy.delete(account)
  const isAuthorized = (stage.reauthorized.get(account) ?? 0) >= incident.atMs
  const good = isAuthorized ? 'authorized again' : isCondemned ? 'revived' : 'refreshed'
  stage.incidents.end(incident, tookMs === undefined ? 'NOT RECOVERED' : good, tookMs)
}

/** The generation that an account has now, 0 when it has no row. */
export function generationOf(stage: Stage, account: number): number {
  return stage.pulse.now.get(account)?.generation ?? 0
}
