import type { Scope } from '../../test/support/scope.ts'
import type { Figure } from '../figures.ts'
import type { Loader } from '../load.ts'

export interface Bench {
  /** Logs, spools and whatever else a run leaves behind. */
  folder: string
  redisUrl: string
  loader: Loader
  rounds: number
  /** Of one load in one round. */
  seconds: number
  connections: number
  soakMinutes: number
  say: (line: string) => void
}

export interface Part {
  name: string
  /** What is measured, for the table's heading. */
  title: string
  run: (scope: Scope, bench: Bench) => Promise<Figure[]>
}
