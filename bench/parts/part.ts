import type { TeardownScope } from '../../test/support/teardown-scope.ts'
import type { Figure } from '../figures.ts'
import type { Loader } from '../load.ts'

export interface Bench {
  /** Holds the logs, spools and other files of a run. */
  folder: string
  redisUrl: string
  loader: Loader
  rounds: number
  /** Duration of one load in one round. */
  seconds: number
  connections: number
  soakMinutes: number
  /** Folder of another commit that is measured beside this one. */
  before: string | undefined
  say: (line: string) => void
}

export interface Part {
  name: string
  /** Names what is measured. Becomes the heading of the table. */
  title: string
  run: (scope: TeardownScope, bench: Bench) => Promise<Figure[]>
}
