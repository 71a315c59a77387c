import { CLASSES, EXCEPTIONS, type Failure } from './sqlstates.ts'

/** Messages of pg, which have no code, for a connection that is lost or does not answer. */
const NO_ANSWER =
  /^(Connection terminated|Query read timeout|timeout expired|Client has encountered a connection error|Client was closed)/
/** Messages of pg when the server refuses to speak TLS. */
const NO_TLS =
  /^(The server does not support SSL connections|There was an error establishing an SSL connection)/
/** Message of pg-pool when all its connections are in use. */
const POOL_FULL = 'timeout exceeded when trying to connect'
/** Messages of pg when the password exchange fails. */
const LOGIN_FAILED = /^(SASL|client password must be a string)/
const SQLSTATE = /^[0-9A-Z]{5}$/
/** Codes of sockets (ECONNREFUSED, EAI_AGAIN), of OpenSSL's checks, and of Node's TLS. */
const SOCKET_OR_TLS =
  /^(E(?!RR_)[A-Z]+(_[A-Z]+)?|ERR_(SSL|TLS|OSSL)_.+|(UNABLE|CERT|CRL|SELF_SIGNED|DEPTH|INVALID|HOSTNAME|PATH|ERROR_IN)_[A-Z_]+)$/
/**
 * SQLSTATE classes of a login that no repetition makes succeed, until somebody changes something.
 */
const LOGIN_REFUSED = /^(28|3D)/

/**
 * Errors of connections that were never made. Whatever their code is, the server gave no session.
 */
const whileConnecting = new WeakSet<object>()

/** The session leads to a server that must not be used, such as a primary of the past. */
export class WrongServer extends Error {
  override readonly name = 'WrongServer'
}

/** Remembers that an error prevented a connection. */
export function markConnectFailure(error: unknown): void {
  if (error instanceof Error) whileConnecting.add(error)
}

/** Returns what an error of a query or of a connection shows about the server. */
export function failureOf(error: unknown): Failure {
  if (!(error instanceof Error)) return 'statement'
  const failure = byCode(error)
  return failure === 'statement' && whileConnecting.has(error) ? 'unreachable' : failure
}

function byCode(error: Error): Failure {
  if (error instanceof WrongServer) return 'unreachable'
  const { code } = error as { code?: unknown }
  if (typeof code === 'string' && SQLSTATE.test(code)) {
    const known = EXCEPTIONS[code] ?? CLASSES[code.slice(0, 2)]
    if (known !== undefined) return known
  }
  if (typeof code === 'string') return SOCKET_OR_TLS.test(code) ? 'unreachable' : 'statement'
  if (error.message === POOL_FULL) return 'busy'
  return [NO_ANSWER, NO_TLS, LOGIN_FAILED].some((known) => known.test(error.message))
    ? 'unreachable'
    : 'statement'
}

/** Returns whether a query failed because of the storage, and not because of the statement. */
export function isStorageFailure(error: unknown): boolean {
  return failureOf(error) !== 'statement'
}

/** Returns whether the server refuses the login or lacks the database: waiting does not help. */
export function isLoginRefused(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: string }
  return typeof code === 'string' ? LOGIN_REFUSED.test(code) : LOGIN_FAILED.test(message ?? '')
}

/** Returns the code of an error, for the log: messages of pg contain the statement and the host. */
export function codeOf(error: unknown): string {
  const { code, cause } = error as { code?: unknown; cause?: unknown }
  if (typeof code === 'string') return code
  if (cause instanceof Error && cause !== error) return codeOf(cause)
  const { message, name } = error as Error
  if (NO_ANSWER.test(message)) return 'no_answer'
  if (NO_TLS.test(message)) return 'no_tls'
  return LOGIN_FAILED.test(message) ? 'login_failed' : name
}

const REMEDIES: readonly [pattern: RegExp, remedy: string][] = [
  [/^25006$/, 'Point DATABASE_URL at the primary, or end its read-only mode.'],
  [/^53100$/, 'Free disk space on the PostgreSQL server.'],
  [/^53/, 'Raise max_connections, or close other connections (see pg_stat_activity).'],
  [/^28/, 'Correct user and password in DATABASE_URL, or pg_hba.conf on the server.'],
  [/^login_failed$/, 'Correct user and password in DATABASE_URL.'],
  [/^no_tls$/, 'Enable TLS on the server, or write sslmode=disable in DATABASE_URL.'],
  [/^3D/, 'Create the database, or correct its name in DATABASE_URL.'],
  [/^57P0[13]$/, 'Wait: the server is starting or stopping.'],
  [/^(ENOTFOUND|EAI_AGAIN)$/, 'Correct the host in DATABASE_URL, or DNS.'],
  [
    /^(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|ENOENT)$/,
    'Start PostgreSQL, or correct host and port in DATABASE_URL.',
  ],
  [
    /^(SELF_SIGNED|DEPTH_ZERO|UNABLE_TO|CERT_|ERR_TLS|HOSTNAME)/,
    'Give the server’s authority with sslrootcert=<file> in DATABASE_URL, and use the host name that the certificate has.',
  ],
]

/** Returns what to do about a failure of the storage. */
export function remedyOf(error: unknown): string {
  const code = codeOf(error)
  const [, remedy] = REMEDIES.find(([pattern]) => pattern.test(code)) ?? []
  if (remedy !== undefined) return remedy
  return 'Check that PostgreSQL runs and that DATABASE_URL leads to it.'
}
