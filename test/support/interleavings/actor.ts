import { AsyncLocalStorage } from 'node:async_hooks'
import type { CallAnswer, CallRequest } from '../../../src/provider/call.ts'
import type { Clock } from './clock.ts'
import type { Fault } from './faults.ts'

/** What the schedule may let happen next. */
export interface Move {
  name: string
  /** How often it is chosen, compared with the others. */
  weight: number
  fault?: Fault
  make(): void | Promise<void>
}

/** How a place where an actor stands is left. */
export interface Ending<T> {
  resolve(value: T): void
  reject(error: Error): void
}

interface Chore {
  isRunning: boolean
  runNow(): void
}

const here = new AsyncLocalStorage<Actor>()

/** Whose code is running. Throws where it is nobody's. */
export function actorHere(): Actor {
  const actor = here.getStore()
  if (actor === undefined) throw new Error('the engine runs outside of an actor')
  return actor
}

/** The clock of whoever's code is running; undefined for the test's own. */
export function clockHere(): Clock | undefined {
  return here.getStore()?.clock
}

/**
 * One start of a broker process. Wherever its code meets the outside it stands still until the schedule moves it. When it
 * dies it stands there for ever: nothing of what it had in memory is heard of again.
 */
export class Actor {
  readonly name: string
  readonly clock: Clock
  readonly callOut: (actor: Actor, request: CallRequest) => Promise<CallAnswer>
  /** Its scheduled work, by name. */
  readonly chores = new Map<string, Chore>()
  readonly #stands = new Set<Move[]>()
  readonly #atDeath = new Set<() => void>()
  isDead = false

  constructor(name: string, clock: Clock, callOut: Actor['callOut']) {
    this.name = name
    this.clock = clock
    this.callOut = callOut
  }

  /** Runs `work`, and all that comes of it, as this actor. */
  run<T>(work: () => T): T {
    return here.run(this, work)
  }

  /** Stands still until the schedule makes one of the moves. */
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
        return this.run(move.make)
      },
    }))
    this.#stands.add(moves)
    signal?.addEventListener('abort', () => {
      if (this.#stands.delete(moves)) ending.reject(new Error('aborted'))
    })
    return promise
  }

  /** By their names: which of two statements PostgreSQL answered first must not matter to a schedule. */
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
