import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import t from 'tap'
import {
  codeOf,
  failureOf,
  isLoginRefused,
  markConnectFailure,
  remedyOf,
} from '../src/db/failures.ts'
import { openRedis } from '../src/db/redis.ts'
import { shareTimeline } from '../src/db/shared-timeline.ts'
import { CLASSES, EXCEPTIONS } from '../src/db/sqlstates.ts'
import { Storage } from '../src/db/storage-state.ts'
import { Secret } from '../src/vault/secret.ts'
import { redisUrl } from './support/database.ts'

/** The classes of PostgreSQL's appendix A, "PostgreSQL Error Codes". */
const APPENDIX =
  '00 01 02 03 08 09 0A 0B 0F 0L 0P 0Z 10 20 21 22 23 24 25 26 27 28 2B 2D 2F 34 38 39 3B 3D 3F 40 42 44 53 54 55 57 58 72 F0 HV P0 XX'

const failed = (code: string | undefined, message = 'x') =>
  Object.assign(new Error(message), code === undefined ? {} : { code })

t.test('every class of SQLSTATE is decided', async (t) => {
  t.same(Object.keys(CLASSES).sort(), APPENDIX.split(' ').sort())
  for (const [name, failure] of Object.entries(CLASSES)) {
    t.equal(failureOf(failed(`${name}9ZZ`)), failure, `class ${name}`)
  }
  for (const [code, failure] of Object.entries(EXCEPTIONS)) {
    t.equal(failureOf(failed(code)), failure, code)
  }
})

t.test('codes and messages, while running', async (t) => {
  const table: [code: string | undefined, message: string, failure: string][] = [
    ['25006', 'cannot execute INSERT in a read-only transaction', 'read_only'],
    ['53100', 'disk full', 'read_only'],
    ['28000', 'role is not permitted to log in', 'unreachable'],
    ['28P01', 'password authentication failed', 'unreachable'],
    ['3D000', 'database does not exist', 'unreachable'],
    ['55000', 'database is not accepting connections', 'unreachable'],
    ['57P01', 'terminating connection due to administrator command', 'unreachable'],
    ['57P02', 'crash', 'unreachable'],
    ['57P03', 'the database system is starting up', 'unreachable'],
    ['57P04', 'database dropped', 'unreachable'],
    ['08006', 'connection failure', 'unreachable'],
    ['XX001', 'invalid page', 'unreachable'],
    ['57014', 'canceling statement due to statement timeout', 'busy'],
    ['53300', 'too many clients', 'busy'],
    ['40P01', 'deadlock', 'busy'],
    ['55P03', 'lock not available', 'busy'],
    [undefined, 'timeout exceeded when trying to connect', 'busy'],
    [undefined, 'Connection terminated unexpectedly', 'unreachable'],
    [undefined, 'Query read timeout', 'unreachable'],
    [undefined, 'The server does not support SSL connections', 'unreachable'],
    [undefined, 'SASL: SCRAM-SERVER-FINAL-MESSAGE: bad signature', 'unreachable'],
    ['ECONNREFUSED', '', 'unreachable'],
    ['ECONNRESET', '', 'unreachable'],
    ['EAI_AGAIN', '', 'unreachable'],
    ['ENOENT', 'no socket file', 'unreachable'],
    ['SELF_SIGNED_CERT_IN_CHAIN', '', 'unreachable'],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', '', 'unreachable'],
    ['CERT_HAS_EXPIRED', '', 'unreachable'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', '', 'unreachable'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', '', 'unreachable'],
    ['EPROTO', '', 'unreachable'],
    ['23505', 'duplicate key', 'statement'],
    ['42P01', 'no such table', 'statement'],
    ['42501', 'permission denied', 'statement'],
    ['ERR_INVALID_ARG_TYPE', '', 'statement'],
    [undefined, 'anything else', 'statement'],
  ]
  for (const [code, message, failure] of table) {
    t.equal(failureOf(failed(code, message)), failure, code ?? message)
  }
  t.equal(failureOf('no error'), 'statement')
})

t.test('the cause of a connection failure without a code', async (t) => {
  const table: [message: string, code: string, remedy: RegExp][] = [
    ['timeout expired', 'no_answer', /runs/],
    ['Connection terminated unexpectedly', 'no_answer', /runs/],
    ['The server does not support SSL connections', 'no_tls', /sslmode=disable/],
    ['SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string', 'login_failed', /user/],
    ['anything else', 'Error', /runs/],
  ]
  for (const [message, code, remedy] of table) {
    t.equal(codeOf(failed(undefined, message)), code, message)
    t.match(remedyOf(failed(undefined, message)), remedy, message)
  }
  t.equal(failureOf(failed(undefined, 'timeout expired')), 'unreachable')
})

t.test('an error that prevented a connection is about the server, whatever its code', async (t) => {
  for (const code of ['42501', '0A000', 'XX000', undefined]) {
    const error = failed(code)
    markConnectFailure(error)
    t.equal(failureOf(error), 'unreachable', code ?? 'without a code')
  }
  const full = failed('53300')
  markConnectFailure(full)
  t.equal(failureOf(full), 'busy', 'a full server is alive')
  t.ok(isLoginRefused(failed('28P01')))
  t.notOk(isLoginRefused(failed('57P03')))
})

const at = (timeline: number, isInRecovery = false, systemId = 'a') => ({
  timeline,
  systemId,
  isInRecovery,
})

t.test('states follow the heartbeat; a lower timeline is never used', async (t) => {
  const storage = new Storage(pino({ level: 'silent' }))
  let newServers = 0
  let writable = 0
  storage.onNewServer(() => newServers++)
  storage.onWritable(() => writable++)
  storage.see(at(1))
  t.match(storage, { state: 'writable', isBehind: false, timeline: 1 })
  t.ok(storage.isWrong(at(1, true)), 'a standby, while the primary is known')
  storage.see({ ...at(1), writeFailure: failed('25006') })
  t.match(storage, { state: 'read_only', isBehind: false, reason: '25006' })
  t.notOk(storage.canWrite())
  storage.see(at(1, true))
  t.match(storage, { state: 'read_only', isBehind: true, reason: 'in recovery' })
  t.notOk(storage.isWrong(at(1, true)), 'better than nothing')
  storage.see(at(2))
  t.match(storage, { state: 'writable', isBehind: false, timeline: 2 })
  t.equal(writable, 1)
  t.ok(newServers >= 1, 'sessions of the past are closed')
  t.ok(storage.isWrong(at(1)), 'it can write, and must not be used')
  storage.see(at(1))
  t.match(storage, { state: 'read_only', isBehind: true, timeline: 2 })
  storage.lose(failed('ECONNREFUSED'))
  t.match(storage, { state: 'unreachable', reason: 'ECONNREFUSED' })
  storage.see(at(9, false, 'b'))
  t.match(storage, { state: 'writable', timeline: 9 }, 'another cluster starts anew')
})

t.test('a timeline that another replica has seen is known through Redis', async (t) => {
  const log = pino({ level: 'silent' })
  const redis = await openRedis(new Secret(redisUrl()), log)
  t.teardown(() => redis.disconnect())
  const deployment = randomUUID()
  const [one, other] = [new Storage(log), new Storage(log)]
  const share = (storage: Storage) => shareTimeline(redis, deployment, storage)
  let failovers = 0
  other.onFailover(() => failovers++)
  for (const storage of [one, other]) {
    storage.see(at(1))
    await share(storage)
  }
  one.see(at(2))
  await share(one)
  t.notOk(other.isWrong(at(1)), 'its sessions stay on the former primary')
  await share(other)
  t.ok(other.isWrong(at(1)), 'until it hears of the new one')
  t.equal(failovers, 1, 'and repairs what was forgotten before it claims')
  other.see(at(5, false, 'b'))
  await share(other)
  await share(one)
  t.equal(one.timeline, 2, 'timelines of another cluster mean nothing')
})
