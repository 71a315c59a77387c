import type { Move } from './actor.ts'
import { ALL_FAULTS } from './faults.ts'
import type { Lane } from './lane.ts'
import { movesOf } from './moves.ts'
import { World } from './world.ts'

/** Plays one race that a test has written, step by step. */
export class Director {
  readonly world: World

  constructor(lane: Lane) {
    this.world = new World(lane, ALL_FAULTS)
  }

  /** Makes the moves with these names in order. A name may be the beginning of a move's name. */
  async make(...names: string[]): Promise<void> {
    for (const name of names) await this.world.make(this.#find(name))
  }

  /**
   * Lets the running work of `who` and the provider go on without faults until the move `until` is
   * possible. Without `until` it goes on until nothing is left. Timers do not fire.
   */
  async go(who: string, until?: string): Promise<void> {
    for (;;) {
      if (until !== undefined && this.#all().some(({ name }) => name.startsWith(until))) return
      const next = this.world
        .goingOn()
        .find(
          ({ name, fault }) =>
            fault === undefined &&
            !name.endsWith(': rings') &&
            !name.endsWith('never processed') &&
            (name.startsWith(`${who} `) || name.startsWith(`provider, ${who} `)),
        )
      if (next === undefined) {
        if (until === undefined) return
        throw new Error(`${until} never became possible: ${this.#names()}`)
      }
      await this.world.make(next)
    }
  }

  async pass(ms: number): Promise<void> {
    await this.world.lane.time.pass(ms)
  }

  #find(wanted: string): Move {
    const move = this.#all().find(({ name }) => name.startsWith(wanted))
    if (move === undefined) throw new Error(`${wanted} is not possible: ${this.#names()}`)
    return move
  }

  #all(): Move[] {
    return movesOf(this.world)
  }

  #names(): string {
    return this.#all()
      .map(({ name }) => name)
      .join('; ')
  }
}
