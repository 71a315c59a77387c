import { setTimeout as delay } from 'node:timers/promises'
import { isStorageFailure } from '../../src/db/failures.ts'
import type { Sandbox } from '../../src/sandbox/sandbox.ts'
import { onboard, type SandboxAccount } from '../support/sandbox-accounts.ts'
import type { Vault } from '../support/vault.ts'
import type { Answers } from './answers.ts'
import type { Callers } from './callers.ts'
import type { Witnesses } from './fates.ts'
import type { Incidents } from './incidents.ts'
import type { Journal } from './journal.ts'
import type { PostgresCluster } from './postgres-cluster.ts'
import type { Pulse } from './pulse.ts'
import type { RedisServer } from './redis-server.ts'
import type { Replica } from './replica.ts'
import type { Turn } from './turn.ts'

/** Everything that a fault may use or break. */
export interface Harness extends Witnesses {
  sandbox: Sandbox
  vault: Vault
  redis: RedisServer
  /** Undefined: the database is a shared one, and no standby can replace it. */
  cluster: PostgresCluster | undefined
  /**
   * By when every account must be served after the server is writable, if its token lives or it has
   * no unsettled send.
   */
  servedLimitMs: number
  /** Faults of PostgreSQL come one after the other. */
  postgresTurn: Turn
  replicas: Replica[]
  subjects: SandboxAccount[]
  journal: Journal
  pulse: Pulse
  callers: Callers
  answers: Answers
  incidents: Incidents
  /** Accounts that a fault uses now. No other fault uses them at the same time. */
  busy: Set<number>
  /** When the operator authorized accounts again, in milliseconds since 1970. */
  reauthorized: Map<number, number>
  /** Work that continues while the next fault is injected. The run waits for it. */
  background: Set<Promise<void>>
  operatorKey: string
  /** Logs and data of the replicas. */
  folder: string
  /** Aborted when the harness is asked to end. No new fault is injected after that. */
  signal: AbortSignal
}

/** Time settings of the brokers, so short that claims and tokens expire by the hundred. */
export const TIMES = {
  sendLimitMs: 1_000,
  lingerMs: 15_000,
  settleMs: 500,
  readWaitMs: 1_000,
  heartbeatMs: 1_500,
} as const

const ONBOARD_LIMIT_MS = 60_000
const ONBOARD_RETRY_MS = 300

/** Runs work in the background. Prints its failure, which is a fault of the harness. */
export function inBackground(harness: Harness, work: Promise<void>): void {
  const tracked = work
    .catch((error) => harness.incidents.note(`harness: ${error.stack}`))
    .finally(() => harness.background.delete(tracked))
  harness.background.add(tracked)
}

/**
 * Sends an operator request to a broker that is up.
 *
 * @returns the status, or 0 without a response
 */
export async function operate(
  harness: Harness,
  method: 'GET' | 'POST',
  path: string,
): Promise<number> {
  const replica = harness.replicas.find(({ isUp }) => isUp)
  if (replica === undefined) return 0
  const headers = { authorization: `Bearer ${harness.operatorKey}` }
  const answer = await fetch(replica.url + path, {
    method,
    headers,
    signal: AbortSignal.timeout(5_000),
  }).catch(() => undefined)
  await answer?.text().catch(() => {})
  return answer?.status ?? 0
}

/**
 * Onboards an account. Repeats that while PostgreSQL is away, as a person would who gets no answer.
 */
export async function onboardAgain(harness: Harness, subject: SandboxAccount): Promise<void> {
  const endMs = Date.now() + ONBOARD_LIMIT_MS
  for (;;) {
    try {
      return await onboard(harness, subject)
    } catch (error) {
      if (!isStorageFailure(error) || Date.now() > endMs) throw error
      await delay(ONBOARD_RETRY_MS)
    }
  }
}
