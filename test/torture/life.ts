/** One process of a replica, from its start to its end. */
export interface Life {
  start: number
  dataDir: string
  beganAtMs: number
  endedAtMs: number | undefined
  /** The harness expects the process to end. */
  mayEnd: boolean
  /** The signal that ended it, or its exit code. */
  end: string | undefined
  /** Its data directory was lost with all that was stored there. */
  isDiskGone: boolean
  /** Periods in which it was stopped by SIGSTOP. The last one may be open. */
  stops: { fromMs: number; toMs: number | undefined }[]
}

/** Returns the life of a process that starts now. */
export function beginLife(start: number, dataDir: string): Life {
  return {
    start,
    dataDir,
    beganAtMs: Date.now(),
    endedAtMs: undefined,
    mayEnd: false,
    end: undefined,
    isDiskGone: false,
    stops: [],
  }
}
