/** What of an error is logged. Errors of pg carry the statement's values, those of HTTP clients the request. */
export interface LoggedError {
  type: string
  message: string
  code?: string
  stack?: string | undefined
  cause?: LoggedError
}

/** Deep enough for what the broker wraps. */
const MAX_DEPTH = 4

/** pino's serializer for errors: a list of what is shown, so that nothing else can slip in. */
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
