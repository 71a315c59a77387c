import type { Chore } from './chore.ts'
import type { Fault } from './faults.ts'
import type { VirtualTime } from './virtual-time.ts'

/** A move that the schedule may make next. */
export interface Move {
  name: string
  /** Frequency relative to the other moves. */
  weight: number
  fault?: Fault
  make(): void | Promise<void>
}

/** Ends the wait of an actor. */
export interface Ending<T> {
  resolve(value: T): void
  reject(error: Error): void
}

/**
 * One start of a broker process. Its code gets everything outside of it as a dependency that waits
 * until the schedule moves it: the database, Redis, the provider call and the clock. An actor that
 * dies waits for ever, so nothing that was in its memory has an effect any more.
 */
export class Actor {
  readonly name: string
  readonly time: VirtualTime
  /** Its periodic work by name. */
  readonly chores = new Map<string, Chore>()
  readonly #stands = new Set<Move[]>()
  readonly #atDeath = new Set<() => void>()
  isDead = false

  constructor(name: string, time: VirtualTime) {
    this.name = name
    this.time = time
  }

  /** Waits until the schedule makes one of the moves. */
  stand<T>(
    label: string,
    movesOf: (ending: Ending<T>) => Move[],
    signal?: AbortSignal,
  ): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    if (this.isDead) return promise
    const ending: Ending<T> = {
      resolve: (value) => this.isDead || resolve(value),
      reject: (error) => this.isDead || reject(error),
    }
    const moves: Move[] = movesOf(ending).map((move) => ({
      ...move,
      name: `${this.name} ${label}: ${move.name}`,
      make: () => {
        this.#stands.delete(moves)
        return move.make()
      },
    }))
    this.#stands.add(moves)
    signal?.addEventListener('abort', () => {
      if (this.#stands.delete(moves)) ending.reject(new Error('aborted'))
    })
    return promise
  }

  /**
   * Lists the moves sorted by name, so that a schedule does not depend on the order in which
   * PostgreSQL completed two statements.
   */
  moves(): Move[] {
    return [...this.#stands].flat().sort((left, right) => compare(left.name, right.name))
  }

  atDeath(work: () => void): void {
    this.#atDeath.add(work)
  }

  die(): void {
    this.isDead = true
    this.#stands.clear()
    for (const work of this.#atDeath) work()
  }
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0
}
