import { CommanderError } from '@commander-js/extra-typings'

const FAILED = 1
const WRONG_USAGE = 2

export interface FailureExtras {
  /** What to do about it. */
  remedy?: string | undefined
  /** The broker's code, and the request that its log knows. */
  code?: string | undefined
  requestId?: string | undefined
  /** Of a broker that says "later". */
  retryAfterSeconds?: number | undefined
}

/** What a command could not do. The message holds no secret. */
export class Failure extends Error {
  override readonly name = 'Failure'
  readonly extras: FailureExtras

  constructor(message: string, extras: FailureExtras = {}) {
    super(message)
    this.extras = extras
  }
}

/** A command line that no command can make sense of. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Says on stderr what went wrong and what to do, and returns the exit code. */
export function tellFailure(error: unknown): number {
  // Commander has said it already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : WRONG_USAGE
  for (const line of linesOf(error)) console.error(`amo-broker: ${line}`)
  return error instanceof UsageError ? WRONG_USAGE : FAILED
}

function linesOf(error: unknown): string[] {
  const { message, code, problems } = error as {
    message?: string
    code?: string
    problems?: string[]
  }
  // Of ConfigError, which is not loaded here: one line a setting.
  if (Array.isArray(problems)) return problems
  const lines = [message || code || String(error)]
  if (!(error instanceof Failure)) return lines
  const { remedy, code: brokerCode, requestId } = error.extras
  if (remedy) lines.push(`remedy: ${remedy}`)
  if (brokerCode) lines.push(`code: ${brokerCode}${requestId ? `, request_id: ${requestId}` : ''}`)
  return lines
}
