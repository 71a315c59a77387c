import type { ReadResult } from '../../src/audit/read-totals.ts'

/** A response to `GET /tokens/:account` that arrived. */
export interface ReadAnswer {
  replica: string
  result: ReadResult
  atMs: number
}

/** Collects how the replicas answered reads of tokens, as their callers saw it. */
export class Answers {
  readonly all: ReadAnswer[] = []
  /** Reads without a response. The replica may have counted them. */
  unanswered = 0

  note(replica: string, status: number): void {
    const result = status < 400 ? 'served' : status < 500 ? 'refused' : 'unavailable'
    this.all.push({ replica, result, atMs: Date.now() })
  }
}
