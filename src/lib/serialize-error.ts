/**
 * The logged part of an error. Errors of pg also carry the values of the statement, those of HTTP
 * clients the request.
 */
interface LoggedError {
  type: string
  message: string
  code?: string
  stack?: string | undefined
  cause?: LoggedError
}

/** More than the broker ever nests. */
const MAX_DEPTH = 4

/**
 * Serializes an error for pino. Copies only the listed members, so that no secret gets into the
 * log.
 */
export function serializeError(error: unknown, depth = 0): LoggedError {
  if (!(error instanceof Error)) return { type: typeof error, message: '' }
  const { code } = error as { code?: unknown }
  return {
    type: error.name,
    message: error.message,
    ...(typeof code === 'string' ? { code } : {}),
    stack: error.stack,
    ...(error.cause === undefined || depth >= MAX_DEPTH
      ? {}
      : { cause: serializeError(error.cause, depth + 1) }),
  }
}
