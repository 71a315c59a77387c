/**
 * What a failure shows about the server.
 *
 * - `read_only`: it answers and accepts no writes.
 * - `unreachable`: it does not answer, refuses the login, is starting or ending, or is damaged.
 * - `busy`: it works, and could not run this statement now. The same statement may succeed later.
 * - `statement`: nothing. The statement itself is wrong.
 */
export type Failure = 'read_only' | 'unreachable' | 'busy' | 'statement'

/** Decides every class of SQLSTATE (PostgreSQL, appendix A), by its first two characters. */
export const CLASSES: Readonly<Record<string, Failure>> = {
  '00': 'statement', // successful completion
  '01': 'statement', // warning
  '02': 'statement', // no data
  '03': 'statement', // SQL statement not yet complete
  '08': 'unreachable', // connection exception; PgBouncer reports its own failures as 08P01
  '09': 'statement', // triggered action exception
  '0A': 'statement', // feature not supported
  '0B': 'statement', // invalid transaction initiation
  '0F': 'statement', // locator exception
  '0L': 'statement', // invalid grantor
  '0P': 'statement', // invalid role specification
  '0Z': 'statement', // diagnostics exception
  '10': 'statement', // XQuery error
  '20': 'statement', // case not found
  '21': 'statement', // cardinality violation
  '22': 'statement', // data exception
  '23': 'statement', // integrity constraint violation
  '24': 'statement', // invalid cursor state
  '25': 'statement', // invalid transaction state
  '26': 'statement', // invalid SQL statement name
  '27': 'statement', // triggered data change violation
  '28': 'unreachable', // invalid authorization specification
  '2B': 'statement', // dependent privilege descriptors still exist
  '2D': 'statement', // invalid transaction termination
  '2F': 'statement', // SQL routine exception
  '34': 'statement', // invalid cursor name
  '38': 'statement', // external routine exception
  '39': 'statement', // external routine invocation exception
  '3B': 'statement', // savepoint exception
  '3D': 'unreachable', // invalid catalog name: the database is missing
  '3F': 'statement', // invalid schema name
  '40': 'busy', // transaction rollback: deadlock, serialization
  '42': 'statement', // syntax error or access rule violation
  '44': 'statement', // WITH CHECK OPTION violation
  '53': 'busy', // insufficient resources
  '54': 'statement', // program limit exceeded
  '55': 'statement', // object not in prerequisite state
  '57': 'unreachable', // operator intervention
  '58': 'unreachable', // system error
  '72': 'statement', // snapshot failure
  F0: 'unreachable', // configuration file error
  HV: 'statement', // foreign data wrapper error
  P0: 'statement', // PL/pgSQL error
  XX: 'unreachable', // internal error: damaged data, or a pooler that knows no such server
}

/** Codes that differ from their class. */
export const EXCEPTIONS: Readonly<Record<string, Failure>> = {
  '25006': 'read_only', // read_only_sql_transaction
  '25P03': 'busy', // idle_in_transaction_session_timeout
  '25P04': 'busy', // transaction_timeout
  '40002': 'statement', // transaction_integrity_constraint_violation
  '53100': 'read_only', // disk_full: reads still work
  '55000': 'unreachable', // object_not_in_prerequisite_state: the database takes no connections
  '55006': 'busy', // object_in_use
  '55P03': 'busy', // lock_not_available
  '57014': 'busy', // query_canceled: a time limit, or an administrator
}
