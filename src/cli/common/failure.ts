import { CommanderError } from '@commander-js/extra-typings'
import { nameCommands } from './remedies.ts'

const FAILED = 1
const WRONG_USAGE = 2

export interface FailureExtras {
  /** The remedy for the operator. */
  remedy?: string | undefined
  /** The broker's error code, and the request id that its log shows. */
  code?: string | undefined
  requestId?: string | undefined
  /** Seconds in `Retry-After`. */
  retryAfterSeconds?: number | undefined
  /** Generation of the stored pair that the broker refused to replace. */
  generation?: number | undefined
}

/** The failure of a command. Neither the message nor the extras contain a secret. */
export class Failure extends Error {
  override readonly name = 'Failure'
  readonly extras: FailureExtras

  constructor(message: string, extras: FailureExtras = {}) {
    super(message)
    this.extras = extras
  }
}

/** A command line that contradicts itself or lacks something. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Prints what failed and what to do on standard error. Returns the exit code. */
export function reportFailure(error: unknown): number {
  // Commander has printed its own message.
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
  // ConfigError has one line per setting. Its module is not loaded here.
  if (Array.isArray(problems)) return problems
  const lines = [message || code || String(error)]
  if (!(error instanceof Failure)) return lines
  const { remedy, code: brokerCode, requestId } = error.extras
  if (remedy) lines.push(`remedy: ${nameCommands(remedy)}`)
  if (brokerCode) lines.push(`code: ${brokerCode}${requestId ? `, request_id: ${requestId}` : ''}`)
  return lines
}
