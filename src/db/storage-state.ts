import type { Logger } from 'pino'
import { FailureChange } from '../lib/failure-change.ts'
import { codeOf, remedyOf } from './failures.ts'

/** What can be done with the server that DATABASE_URL leads to now. */
export type StorageState = 'writable' | 'read_only' | 'unreachable'

/** Which server a session leads to, as far as the role may see it. */
export interface ServerIdentity {
  isInRecovery: boolean
  /** Grows by every promotion of a standby. Null: unknown. */
  timeline: number | null
  /** Differs between clusters. Null: unknown. */
  systemId: string | null
}

/** A server that a heartbeat has seen. */
interface Sighting extends ServerIdentity {
  /** Why the server accepted no write; undefined: it did. */
  writeFailure?: unknown
}

/**
 * Knows the state of the storage, from the heartbeat. Reads, writes, periodic work, readiness,
 * metrics and doctor decide by it.
 */
export class Storage {
  readonly #log: Logger
  #state: StorageState = 'writable'
  #isBehind = false
  #reason = ''
  #remedy = ''
  readonly #failure = new FailureChange()
  #timeline = 0
  #systemId: string | null = null
  /** Since when the same server can be written to, by `performance.now()`. */
  #steadySinceMs = performance.now()
  readonly #onWritable = new Set<() => void>()
  readonly #onNewServer = new Set<() => void>()
  readonly #onFailover = new Set<() => void>()

  constructor(log: Logger) {
    this.#log = log
  }

  get state(): StorageState {
    return this.#state
  }

  /**
   * Whether the server is in recovery, or on an older timeline than this process has seen. Then the
   * present primary may have rotated any token.
   */
  get isBehind(): boolean {
    return this.#isBehind
  }

  /** Why the storage is not writable: a code, or a few words. */
  get reason(): string {
    return this.#reason
  }

  /** What to do about it. */
  get remedy(): string {
    return this.#remedy
  }

  /** The highest timeline that a session of this process was on; 0: unknown. */
  get timeline(): number {
    return this.#timeline
  }

  /** Whether claims, commits and other writes may start. */
  canWrite(): boolean {
    return this.#state === 'writable'
  }

  /** The cluster that `timeline` belongs to; null: unknown. */
  get systemId(): string | null {
    return this.#systemId
  }

  /** Returns for how long this process has seen the same server, which can be written to. */
  steadyMs(): number {
    return this.canWrite() ? performance.now() - this.#steadySinceMs : 0
  }

  /** Calls `listener` whenever the storage becomes writable again. */
  onWritable(listener: () => void): void {
    this.#onWritable.add(listener)
  }

  /** Calls `listener` when sessions that are open may lead to a server of the past. */
  onNewServer(listener: () => void): void {
    this.#onNewServer.add(listener)
  }

  /** Calls `listener` when the server is on a later timeline, or is another cluster. */
  onFailover(listener: () => void): void {
    this.#onFailover.add(listener)
  }

  /**
   * Whether a session to this server must not be used: its timeline is over, or it is a standby
   * although the primary is known to be reachable.
   */
  isWrong({ timeline, systemId, isInRecovery }: ServerIdentity): boolean {
    if (isInRecovery && this.#state === 'writable' && this.#timeline > 0) return true
    const isSameCluster = systemId === this.#systemId
    return isSameCluster && timeline !== null && timeline < this.#timeline
  }

  /** Records what a session has shown. A higher timeline ends the sessions of the lower one. */
  meet({ timeline, systemId }: ServerIdentity): void {
    if (timeline === null || systemId === null) return
    const isOther = this.#systemId !== systemId
    if (!isOther && timeline <= this.#timeline) return
    const isFirst = this.#systemId === null
    this.#systemId = systemId
    this.#timeline = timeline
    this.#steadySinceMs = performance.now()
    if (isFirst) return
    this.#log.warn({ timeline, systemId }, 'PostgreSQL was failed over, reconnecting')
    for (const listener of this.#onFailover) listener()
    this.#announceNewServer()
  }

  /** Records a heartbeat that was answered. */
  see({ writeFailure, ...identity }: Sighting): void {
    const isOld = !identity.isInRecovery && this.isWrong(identity)
    if (!isOld) this.meet(identity)
    if (isOld) {
      this.#set('read_only', true, 'older timeline', 'Point DATABASE_URL at the present primary.')
      // The next session may lead to the new primary.
      this.#announceNewServer()
    } else if (identity.isInRecovery) {
      this.#set('read_only', true, 'in recovery', 'Point DATABASE_URL at the primary.')
    } else if (writeFailure !== undefined) {
      this.#set('read_only', false, codeOf(writeFailure), remedyOf(writeFailure))
    } else this.#set('writable', false, '', '')
  }

  /** Records that the server gives no answer. */
  lose(error: unknown): void {
    const isSilent = error === undefined
    this.#set(
      'unreachable',
      false,
      isSilent ? 'no answer' : codeOf(error),
      isSilent ? 'Check that PostgreSQL runs and that DATABASE_URL leads to it.' : remedyOf(error),
    )
  }

  #set(state: StorageState, isBehind: boolean, reason: string, remedy: string): void {
    const before = this.#state
    const isSame = before === state && this.#reason === reason
    this.#state = state
    this.#isBehind = isBehind
    this.#reason = reason
    this.#remedy = remedy
    if (isSame) return
    if (state !== 'writable') {
      const isNew = this.#failure.isNew({ code: `${state} ${reason}` })
      if (isNew) this.#log.warn({ state, reason, remedy }, 'storage is not writable')
    } else {
      this.#failure.hasEnded()
      this.#steadySinceMs = performance.now()
      this.#log.info('storage is writable again')
      // Sessions that were opened meanwhile may have stayed read-only.
      this.#announceNewServer()
      for (const listener of this.#onWritable) listener()
    }
  }

  #announceNewServer(): void {
    for (const listener of this.#onNewServer) listener()
  }
}
