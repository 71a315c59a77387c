import type { Mutation } from './mutation.ts'

const STORE = 'src/refresh/commit.ts'
const SEND = 'src/refresh/send.ts'
const JOURNAL = 'src/journal/response-journal.ts'

const claimTest = (only: RegExp) => [{ file: 'test/claim.test.ts', only }]
const race = (only: RegExp) => [{ file: 'test/races.test.ts', only }]
const SCHEDULES = [{ file: 'test/interleavings.test.ts' }]

/** Commits a journaled response under the fence of the row at that moment. */
const UNDER_ROWS_FENCE = [
  {
    file: 'src/refresh/sweeper.ts',
    find: '        if (received !== undefined) await commitOnce(this.#context, received)\n',
    replace: `        const fence =
          received && (await findFence(this.#context.commitContext.claims, received))
        if (received !== undefined) await commitOnce(this.#context, { ...received, ...fence })\n`,
  },
  {
    file: 'src/refresh/sweeper.ts',
    find: "import type { RefreshContext } from './context.ts'\n",
    replace:
      "import { findFence } from '../pairs/fence.ts'\nimport type { RefreshContext } from './context.ts'\n",
  },
]

/** Guards of the journal, which has a response until its pair is safe in the database (I2). */
export const JOURNAL_MUTATIONS: Mutation[] = [
  {
    guard: 'journal on receipt',
    edits: [
      {
        file: SEND,
        find: '      keep: (body) => journalResponse(context, claim, body, sentAtMs),\n',
        replace: '      keep: () => void journalResponse,\n',
      },
    ],
    tests: race(/killed in the tick after a response arrived/),
  },
  {
    guard: 'the copy in Redis',
    edits: [
      {
        file: JOURNAL,
        find: '      await this.#copies.append(response, this.#spool.seal(name, response))\n',
        replace: '',
      },
    ],
    tests: race(/its disk is gone/),
  },
  {
    guard: 'journaled until a newer pair is committed',
    edits: [
      {
        file: STORE,
        find: '    await responseJournal.markSettled(received)\n',
        replace: '    await responseJournal.forget(received)\n',
      },
    ],
    tests: race(/failover forgets the commit/),
  },
  {
    guard: 'nothing older is deleted before the flush',
    edits: [
      {
        file: STORE,
        find: '    if ((await responseJournal.flushed(received)) && !hadGap())\n',
        replace: '    if (!hadGap())\n',
      },
    ],
    tests: race(/a response that is not flushed/),
  },
  {
    guard: 'a second place before a send: the claim',
    edits: [
      {
        file: 'src/claims/insert-claims.ts',
        find: ` and \${hasSecondPlace(claimContext)}`,
        replace: ` and (true or \${hasSecondPlace(claimContext)})`,
      },
    ],
    tests: claimTest(/without a second place/),
  },
  {
    guard: 'a second place before a send: the record',
    edits: [
      {
        file: 'src/claims/record-send.ts',
        find: ` and \${hasSecondPlace(claimContext)}`,
        replace: ` and (true or \${hasSecondPlace(claimContext)})`,
      },
    ],
    tests: claimTest(/without a second place/),
  },
  {
    guard: 'the reserve of the disk',
    edits: [
      {
        file: 'src/journal/spool.ts',
        find: "      else if (codeOf(error) === 'ENOSPC') this.health.useReserve()\n",
        replace: '',
      },
    ],
    tests: [{ file: 'test/journal.test.ts', only: /a full disk/ }],
  },
  {
    guard: 'a failed flush is repeated with a new file',
    edits: [
      {
        file: 'src/journal/spool.ts',
        find: '    setTimeout(() => this.#rewrite(name), RETRY_MS).unref()\n',
        replace: '    void this.#rewrite\n    void RETRY_MS\n',
      },
    ],
    tests: [{ file: 'test/journal.test.ts', only: /a flush that fails/ }],
  },
  {
    guard: 'a removed folder is made again',
    edits: [
      {
        file: 'src/journal/spool.ts',
        find: "      if (codeOf(error) === 'ENOENT') this.#makeFolder()\n      else if",
        replace: '      if',
      },
    ],
    tests: [{ file: 'test/journal.test.ts', only: /a folder that was removed/ }],
  },
  {
    guard: 'the lock on DATA_DIR',
    edits: [
      {
        file: 'src/journal/folder-lock.ts',
        find: "      lock.exec('begin exclusive')\n",
        replace: '',
      },
    ],
    tests: [{ file: 'test/journal.test.ts', only: /two processes/ }],
  },
  {
    guard: 'embedded: no commit before the flush',
    edits: [
      {
        file: 'src/journal/response-journal.ts',
        find: '    if (!this.#isFlushedFirst || (await this.flushed(name))) return\n',
        replace: '    if (!this.#isFlushedFirst || name.generation > 0) return\n',
      },
    ],
    tests: [{ file: 'test/journal.test.ts', only: /before the flush of its response/ }],
  },
  {
    guard: 'a response is journaled as it arrived',
    edits: [
      {
        file: 'src/pairs/received-pair.ts',
        find: 'findPair(decodeRawBody(body))',
        replace:
          "findPair(Buffer.from(body.bytes.reveal(), 'base64').toString() + decodeRawBody.name)",
      },
    ],
    tests: [{ file: 'test/journal.test.ts', only: /compressed response/ }],
  },
  {
    guard: 'after a gap the journal is committed before anything is claimed',
    edits: [
      {
        file: 'src/claims/insert-claims.ts',
        find: '  if (claimContext.hasGap()) return []\n',
        replace: '',
      },
    ],
    tests: claimTest(/nothing is claimed in a gap/),
  },
  {
    guard: 'after a gap the journal is committed before anything is reclaimed',
    edits: [
      {
        file: 'src/claims/reclaim-expired.ts',
        find: '  if (claimContext.hasGap()) return []\n',
        replace: '',
      },
    ],
    tests: race(/nothing is claimed before the journal/),
  },
  {
    guard: 'after a gap no generation is used twice',
    edits: [
      {
        file: 'sql/202611262015_generations.sql',
        find: 'used + 1000000',
        replace: 'last + 1000000',
      },
    ],
    tests: claimTest(/no generation is used twice/),
  },
  {
    guard: 'the steps of an attempt are bounded',
    edits: [
      {
        file: 'sql/004_refresh_attempts.sql',
        find: 'case when jsonb_array_length(steps) < 50 then steps else steps - 1 end',
        replace: 'steps',
      },
    ],
    tests: claimTest(/keeps its steps/),
  },
  {
    guard: 'journaled although it is parked',
    edits: [
      {
        file: STORE,
        find: "    if (result === 'replaced') return",
        replace: "    if (result === 'replaced' || result === 'parked') return",
      },
    ],
    tests: race(/forgets that a pair was parked/),
  },
  {
    guard: "a journaled response's own fence",
    edits: UNDER_ROWS_FENCE,
    tests: race(/committed under its own fence/),
  },
  {
    guard: '"unreachable is not absent"',
    edits: [
      {
        file: JOURNAL,
        find: '    const copies = found.length > 0 ? [] : await this.#copies?.findAll(fence)\n',
        replace:
          '    const copies = found.length > 0 ? [] : await this.#copies?.findAll(fence).catch(() => [])\n',
      },
    ],
    tests: race(/an unreachable store/),
  },
  {
    guard: "R8: a journaled response under the row's fence",
    edits: UNDER_ROWS_FENCE,
    tests: SCHEDULES,
  },
]
