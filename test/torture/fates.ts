import type { BookEntry } from '../../src/sandbox/books.ts'
import type { Entry, Journal } from './journal.ts'
import type { Life, Replica } from './replica.ts'

/**
 * What became of an answer that carried a new pair:
 * `never_left` – the provider did not hand all of it to the network;
 * `in_flight` – whoever had asked was killed before it read it; nobody can avoid that;
 * `window` – killed between reading it and the first write, the window that I2 names;
 * `disk_gone` – kept on a disk that was lost together with its process, before anybody else had it;
 * `hung_up` – the broker that had asked lives, and closed the connection before the answer came;
 * `pending` – nobody can tell yet;
 * `arrived` – the brokers must have it.
 */
export type Fate =
  | 'never_left'
  | 'in_flight'
  | 'window'
  | 'disk_gone'
  | 'hung_up'
  | 'pending'
  | 'arrived'

/** The harness's clock and a replica's differ by no more. */
const CLOCKS_MS = 25
/** What was written to a connection is read within this, by a process that lives. */
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
    // Without a fault it was the connection's other end that was gone.
    const isHungUp = entry.fault === undefined && life?.endedAtMs === undefined
    return isHungUp && Date.now() - entry.at > READING_MS ? 'hung_up' : 'never_left'
  }
  if (sent === undefined || life === undefined) return 'arrived'
  const later = lines.filter(
    ({ replica, start, atMs }) =>
      replica === sent.replica && start === sent.start && atMs >= entry.arrivedAt - CLOCKS_MS,
  )
  const has = (step: Entry['step']) => later.some((line) => line.step === step)
  if (!has('answered')) {
    if (life.end === 'SIGKILL') return 'in_flight'
    const isStopped = life.stops.some(
      ({ toMs }) => toMs === undefined || toMs > Date.now() - READING_MS,
    )
    return isStopped || Date.now() - entry.at < READING_MS ? 'pending' : 'arrived'
  }
  if (!has('kept')) return life.end === 'SIGKILL' ? 'window' : 'arrived'
  if (!life.isDiskGone) return 'arrived'
  const copied = later.find(({ step }) => step === 'copied')
  const isCopyLost =
    copied === undefined || witnesses.redisLosses.some((atMs) => atMs > copied.atMs)
  return isCopyLost ? 'disk_gone' : 'arrived'
}

function lifeOf(entry: Entry | undefined, replicas: Replica[]): Life | undefined {
  return replicas.find(({ name }) => name === entry?.replica)?.lives[(entry?.start ?? 0) - 1]
}
