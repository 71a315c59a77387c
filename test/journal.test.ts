import { spawnSync } from 'node:child_process'
import { pbkdf2 } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { ResponseJournal } from '../src/journal/response-journal.ts'
import { Spool } from '../src/journal/spool.ts'
import { pairOfResponse } from '../src/pairs/received-pair.ts'
import { rawBodyOf } from '../src/provider/raw-body.ts'
import { KeyRing } from '../src/vault/key-ring.ts'
import { ENCRYPTION_KEYS, until } from './support/broker.ts'

const NAME = 'refresh~amocrm~1~1~1'
const TEXT = 'k.sealed'

const filesIn = (dataDir: string) => readdirSync(join(dataDir, 'spool'))

t.test('a response is written in the tick that appends it, and flushed afterwards', async (t) => {
  const dataDir = t.testdir()
  const spool = new Spool(dataDir)
  spool.append(NAME, TEXT)
  t.equal(statSync(join(dataDir, 'spool', `${NAME}.kept`)).size, TEXT.length)
  t.equal(await spool.flushed(NAME), true)
  t.equal(await new Spool(dataDir).flushed(NAME), true, 'a file of an earlier process is flushed')
  t.equal(await spool.flushed('refresh~amocrm~2~1~1'), true, 'what is not here is not waited for')
})

t.test('a response that is removed before its flush ended leaves nobody waiting', async (t) => {
  const spool = new Spool(t.testdir())
  spool.append(NAME, TEXT)
  const flushed = spool.flushed(NAME)
  await spool.remove(NAME)
  t.equal(await flushed, true)
})

t.test('flushed although all worker threads were busy', async (t) => {
  const spool = new Spool(t.testdir())
  let done = 0
  for (let nth = 0; nth < 8; nth += 1) pbkdf2('x', 'y', 300_000, 32, 'sha256', () => (done += 1))
  const startedMs = performance.now()
  spool.append(NAME, TEXT)
  t.ok(performance.now() - startedMs < 200, 'the event loop does not wait')
  t.equal(await spool.flushed(NAME), true)
  t.ok(done >= 1, 'the workers were busy')
})

t.test('a folder that was removed is made again', async (t) => {
  const dataDir = t.testdir({ data: {} })
  const spool = new Spool(join(dataDir, 'data'))
  rmSync(join(dataDir, 'data'), { recursive: true })
  spool.append(NAME, TEXT)
  t.equal(await spool.flushed(NAME), true)
  t.equal(await spool.read(NAME), TEXT)
  rmSync(join(dataDir, 'data'), { recursive: true })
  t.same(spool.names(), [])
  t.equal(spool.health.hasSpace(), true)
  t.equal(spool.health.problem(), null)
})

t.test('empty files and drafts of a killed process are removed at the start', async (t) => {
  const dataDir = t.testdir({ spool: { [`${NAME}.kept`]: '', 'a~b.kept.new': 'half' } })
  const spool = new Spool(dataDir)
  t.same(filesIn(dataDir), [])
  t.same(spool.names(), [])
})

t.test('two processes on one DATA_DIR: the second one notices', async (t) => {
  const dataDir = t.testdir()
  const [first, second] = [new Spool(dataDir), new Spool(dataDir)]
  t.equal(first.health.problem(), null)
  t.match(second.health.problem(), /another broker/)
  t.equal(second.health.hasSpace(), true, 'its responses are safe all the same')
  first.health.release()
  await until(() => second.health.problem() === null)
  second.health.release()
})

/** A disk of this size, or undefined where mounting is not allowed. */
function mountDisk(t: Test, size: string): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'amo-disk-'))
  const options = ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder]
  if (spawnSync('mount', options).status !== 0) return undefined
  t.teardown(() => {
    spawnSync('umount', ['-l', folder])
    rmSync(folder, { recursive: true })
  })
  return folder
}

t.test('a full disk', async (t) => {
  const disk = mountDisk(t, '2m')
  if (disk === undefined) {
    t.pass('mounting is not allowed here')
    return
  }
  const spool = new Spool(disk)
  t.equal(spool.health.hasSpace(), true, 'space is reserved')
  const filler = join(disk, 'filler')
  const fill = () => {
    try {
      writeFileSync(filler, Buffer.alloc(4 * 1024 * 1024))
    } catch {
      // It is full now.
    }
  }
  fill()
  await t.test('the reserve takes the next responses', async (t) => {
    spool.append(NAME, TEXT)
    t.equal(await spool.flushed(NAME), true)
    fill()
    t.equal(spool.health.hasSpace(), false)
    t.match(spool.health.problem(), /ENOSPC/)
  })
  await t.test('then nothing is left of a response, and it is written later', async (t) => {
    const name = 'refresh~amocrm~1~2~2'
    const large = 'x'.repeat(64 * 1024)
    t.throws(() => spool.append(name, large), { code: 'ENOSPC' })
    t.throws(() => spool.appendFlushed('callback~1', large), { code: 'ENOSPC' })
    t.notOk(filesIn(disk).includes(`${name}.kept`), 'no empty file')
    t.equal(await spool.flushed(name), false)
    t.equal(await spool.read(name), large, 'it is still in memory')
    rmSync(filler)
    await until(() => spool.flushed(name))
    t.ok(filesIn(disk).includes(`${name}.kept`))
    await until(() => spool.health.problem() === null)
    t.equal(spool.health.hasSpace(), true)
  })
})

t.test('a read-only disk', async (t) => {
  const disk = mountDisk(t, '4m')
  if (disk === undefined) {
    t.pass('mounting is not allowed here')
    return
  }
  const spool = new Spool(disk)
  spool.append(NAME, TEXT)
  await spool.flushed(NAME)
  const remount = (mode: string) => spawnSync('mount', ['-o', `remount,${mode}`, disk]).status === 0
  t.ok(remount('ro'))
  t.equal(spool.health.hasSpace(), false)
  t.match(spool.health.problem(), /EROFS/)
  t.throws(() => spool.append('refresh~amocrm~1~2~2', TEXT), { code: 'EROFS' })
  t.ok(remount('rw'))
  await until(() => spool.flushed('refresh~amocrm~1~2~2'))
  await until(() => spool.health.hasSpace())
})

t.test('a flush that fails: the response is written to a new file', async (t) => {
  const dataDir = t.testdir()
  const spool = new Spool(dataDir)
  // The folder cannot be flushed once it is a file: the data of the response was.
  const folder = join(dataDir, 'spool')
  spool.append(NAME, TEXT)
  rmSync(folder, { recursive: true })
  writeFileSync(folder, '')
  t.equal(await spool.flushed(NAME), false)
  t.equal(spool.health.hasSpace(), false, 'the journal is bad')
  rmSync(folder)
  mkdirSync(folder)
  await until(() => spool.flushed(NAME), 10_000)
  t.same(
    filesIn(dataDir).filter((file) => file.startsWith('refresh')),
    [`${NAME}.kept`],
  )
  t.equal(spool.health.hasSpace(), true)
})

const FENCE = { integration: 'amocrm', accountId: 1, generation: 1, fingerprint: 'f' }
const BODY = JSON.stringify({ access_token: 'access', refresh_token: 'refresh', expires_in: 60 })

function journalOf(spool: Spool, isFlushedFirst = false): ResponseJournal {
  const keyRing = KeyRing.parse(ENCRYPTION_KEYS)
  return new ResponseJournal(spool, null, keyRing, pino({ level: 'silent' }), { isFlushedFirst })
}

const responseOf = (bytes: Buffer, contentEncoding: string) => ({
  ...FENCE,
  attemptId: 1,
  sentAtMs: 0,
  body: rawBodyOf(bytes, { contentEncoding, charset: '' }),
})

t.test('a compressed response that was journaled is read after a restart', async (t) => {
  const dataDir = t.testdir()
  const journal = journalOf(new Spool(dataDir))
  await journal.append(responseOf(gzipSync(BODY), 'gzip')).flushed
  const [found] = await journalOf(new Spool(dataDir)).find(FENCE)
  t.equal(found && pairOfResponse(found)?.pair.refreshToken.reveal(), 'refresh')
})

t.test('embedded: nothing is committed before the flush of its response', async (t) => {
  class SlowDisk extends Spool {
    readonly flush = Promise.withResolvers<boolean>()
    override flushed(): Promise<boolean> {
      return this.flush.promise
    }
  }
  const disk = new SlowDisk(t.testdir())
  const journal = journalOf(disk, true)
  const response = responseOf(Buffer.from(BODY), '')
  journal.append(response)
  let isCommitted = false
  const committed = journal.beforeCommit(response).then(() => {
    isCommitted = true
  })
  await journalOf(disk).beforeCommit(response)
  t.equal(isCommitted, false, 'PostgreSQL flushes itself, and is not held up')
  disk.flush.resolve(true)
  await committed
  const failing = new SlowDisk(t.testdir())
  failing.flush.resolve(false)
  await t.rejects(journalOf(failing, true).beforeCommit(response), /not flushed/)
})
