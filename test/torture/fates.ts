import type { BookEntry } from '../../src/sandbox/books.ts'
import type { Entry, Journal } from './journal.ts'
import type { Life } from './life.ts'
import type { Replica } from './replica.ts'

/**
 * Where a provider response with a new token pair ended:
 * `never_left`: the provider did not write all of it to the network.
 * `in_flight`: the broker was killed before it read the response. No client can avoid that.
 * `window`: the broker was killed between reading it and the first write, the window of I2.
 * `disk_gone`: the only copy was on a disk that was lost together with its process.
 * `hung_up`: the broker is alive and closed the connection before the response came.
 * `pending`: it cannot be decided yet.
 * `arrived`: the brokers must have the pair.
 */
export type Fate =
  | 'never_left'
  | 'in_flight'
  | 'window'
  | 'disk_gone'
  | 'hung_up'
  | 'pending'
  | 'arrived'

/** Largest difference between the clock of the harness and the clock of a replica. */
const CLOCKS_MS = 25
/** A running process reads what was written to its connection within this time. */
const READING_MS = 5_000

export interface Witnesses {
  journal: Journal
  replicas: Replica[]
  /** When Redis lost what it held, milliseconds since 1970. */
  redisLosses: number[]
}

export function fateOf(entry: BookEntry, witnesses: Witnesses): Fate {
  const { journal, replicas } = witnesses
  const lines = journal.of(entry.accountId ?? 0)
  const sent = lines.findLast(
    ({ step, atMs }) => step === 'writing' && atMs <= entry.arrivedAt + CLOCKS_MS,
  )
  const life = lifeOf(sent, replicas)
  if (!entry.answered) {
    // Without a fault, the broker had closed the connection.
    const isHungUp = entry.fault === undefined && life?.endedAtMs === undefined
    return isHungUp && Date.now() - entry.at > READING_MS ? 'hung_up' : 'never_left'
  }
  if (sent === undefined || life === undefined) return 'arrived'
  const later = lines.filter(
    ({ replica, start, atMs }) =>
      replica === sent.replica && start === sent.start && atMs >= entry.arrivedAt - CLOCKS_MS,
  )
  const has = (step: Entry['step']) => later.some((line) => line.step === step)
  if (!has('response_read')) {
    if (life.end === 'SIGKILL') return 'in_flight'
    const isStopped = life.stops.some(
      ({ toMs }) => toMs === undefined || toMs > Date.now() - READING_MS,
    )
    return isStopped || Date.now() - entry.at < READING_MS ? 'pending' : 'arrived'
  }
  if (!has('journaled')) return life.end === 'SIGKILL' ? 'window' : 'arrived'
  if (!life.isDiskGone) return 'arrived'
  const copied = later.find(({ step }) => step === 'copied')
  const isCopyLost =
    copied === undefined || witnesses.redisLosses.some((atMs) => atMs > copied.atMs)
  return isCopyLost ? 'disk_gone' : 'arrived'
}

function lifeOf(entry: Entry | undefined, replicas: Replica[]): Life | undefined {
  return replicas.find(({ name }) => name === entry?.replica)?.lives[(entry?.start ?? 0) - 1]
}
