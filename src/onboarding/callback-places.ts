/** Callbacks that wait on this disk: of one state, of one network, and in all. */
const LIMITS = {
  /** A state brings one code. A page that is loaded again brings it once more. */
  proven: { each: 3, all: 400 },
  /** Installations that an integration accepts. The provider's servers have few addresses. */
  expected: { each: 40, all: 400 },
  /** Anything else. The other places are reserved. */
  unexpected: { each: 10, all: 100 },
} as const

export type PlaceKind = keyof typeof LIMITS

/**
 * Decides which callbacks get one of the places on disk (callback-spool.ts) while PostgreSQL does
 * not take them. A flood of calls that nothing proves cannot take the places of installations that
 * an integration accepts.
 */
export class CallbackPlaces {
  readonly #taken = new Map<string, { kind: PlaceKind; of: string }>()

  /**
   * Takes a place for the callback `name`. `of`: its state or network.
   *
   * @returns False when there is none.
   */
  take(name: string, kind: PlaceKind, of: string): boolean {
    if (this.#taken.has(name)) return true
    const same = [...this.#taken.values()].filter((each) => each.kind === kind)
    const { each, all } = LIMITS[kind]
    if (same.length >= all || same.filter((place) => place.of === of).length >= each) return false
    this.#taken.set(name, { kind, of })
    return true
  }

  free(name: string): void {
    this.#taken.delete(name)
  }
}
