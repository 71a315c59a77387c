import type { Sandbox } from '../../src/sandbox/sandbox.ts'
import type { Subject } from '../support/subjects.ts'
import type { Vault } from '../support/vault.ts'
import type { Callers } from './callers.ts'
import type { Witnesses } from './fates.ts'
import type { Incidents } from './incidents.ts'
import type { Journal } from './journal.ts'
import type { Pulse } from './pulse.ts'
import type { RedisServer } from './redis-server.ts'
import type { Replica } from './replica.ts'

/** Everything that a fault may lay its hands on. */
export interface Stage extends Witnesses {
  sandbox: Sandbox
  vault: Vault
  redis: RedisServer
  replicas: Replica[]
  subjects: Subject[]
  journal: Journal
  pulse: Pulse
  callers: Callers
  incidents: Incidents
  /** Accounts that a fault works on: no other one does meanwhile. */
  busy: Set<number>
  /** When accounts were authorized again by the operator, milliseconds since 1970. */
  reauthorized: Map<number, number>
  /** What goes on while the next fault is injected: it ends before the run does. */
  background: Set<Promise<void>>
  operatorKey: string
  /** Logs and data of the replicas. */
  folder: string
  /** The harness is told to end: nothing new is begun. */
  signal: AbortSignal
}

/** The times of a run, short enough that claims run out and tokens expire by the hundred. */
export const TIMES = {
  sendLimitMs: 1_000,
  lingerMs: 15_000,
  settleMs: 500,
  readWaitMs: 1_000,
  heartbeatMs: 1_500,
} as const

/** Goes on by itself; a failure of it is the harness's own, and is told at once. */
export function inBackground(stage: Stage, work: Promise<void>): void {
  const tracked = work
    .catch((error) => stage.incidents.note(`harness: ${error.stack}`))
    .finally(() => stage.background.delete(tracked))
  stage.background.add(tracked)
}

/** Asks a broker that is up, with all rights. Returns the status, 0 when nobody answers. */
export async function operate(stage: Stage, method: 'GET' | 'POST', path: string): Promise<number> {
  const replica = stage.replicas.find(({ isUp }) => isUp)
  if (replica === undefined) return 0
  const headers = { authorization: `Bearer ${stage.operatorKey}` }
  const answer = await fetch(replica.url + path, {
    method,
    headers,
    signal: AbortSignal.timeout(5_000),
  }).catch(() => undefined)
  await answer?.text().catch(() => {})
  return answer?.status ?? 0
}
