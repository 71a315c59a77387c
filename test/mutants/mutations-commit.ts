import type { Mutation } from './mutation.ts'

const COMMIT = 'src/refresh/commit.ts'
const STORE = 'src/refresh/store-answer.ts'
const SEND = 'src/refresh/send.ts'
const KEPT = 'src/refresh/kept-answers.ts'
const FENCE = `      and generation = \${answer.generation} and "refreshTokenFingerprint" = \${answer.fingerprint}
    returning generation`

const claimTest = (only: RegExp) => [{ file: 'test/claim.test.ts', only }]
const race = (only: RegExp) => [{ file: 'test/races.test.ts', only }]
const SCHEDULES = [{ file: 'test/interleavings.test.ts' }]

/** Commit only while the attempt is unfinished. */
const BY_ATTEMPT = {
  file: COMMIT,
  find: FENCE,
  replace: FENCE.replace(
    '    returning',
    `      and exists (select from amo_refresh_attempts a
        where a.id = \${answer.attemptId} and a."finishedAt" is null)
    returning`,
  ),
}

/** A kept answer is committed under whatever the row is at. */
const UNDER_ROWS_FENCE = [
  {
    file: 'src/refresh/sweeper.ts',
    find: '        if (answer !== undefined) await tryToStore(this.#engine, answer)\n',
    replace: `        const fence = answer && (await findFence(this.#engine.committer.claims, answer))
        if (answer !== undefined) await tryToStore(this.#engine, { ...answer, ...fence })\n`,
  },
  {
    file: 'src/refresh/sweeper.ts',
    find: "import type { Engine } from './engine.ts'\n",
    replace: "import { findFence } from './commit.ts'\nimport type { Engine } from './engine.ts'\n",
  },
]

/** Commit, keep, park: what keeps a pair from being lost, or an older one from being put over a newer one (I2, I3). */
export const COMMIT_MUTATIONS: Mutation[] = [
  {
    guard: 'generation in the fence',
    edits: [{ file: COMMIT, find: FENCE, replace: FENCE.replace(/generation = \S+ and /, '') }],
    tests: claimTest(/fenced by the generation as well/),
  },
  {
    guard: 'fingerprint in the fence',
    edits: [{ file: COMMIT, find: FENCE, replace: FENCE.replace(/ and "refresh\S+ = \S+/, '') }],
    tests: claimTest(/fenced by the fingerprint as well/),
  },
  {
    guard: 'commit by fence alone',
    edits: [BY_ATTEMPT],
    tests: claimTest(/the fence decides, not the owner/),
  },
  {
    guard: 'own-commit recognition',
    edits: [
      {
        file: COMMIT,
        find: '  if (row?.refreshTokenFingerprint === fingerprint) {',
        replace: '  if (Math.random() > 2) {',
      },
    ],
    tests: claimTest(/its own is recognised/),
  },
  {
    guard: 'parking the loser',
    edits: [{ file: COMMIT, find: `  await park(committer, trx, answer)\n`, replace: '' }],
    tests: claimTest(/the loser of two is parked/),
  },
  {
    guard: 'parking a second answer to one claim',
    edits: [
      {
        file: COMMIT,
        find: '  await parkPair(trx, answer, answer.fingerprint, sealed)\n',
        replace: '',
      },
    ],
    tests: claimTest(/two answers under one claim/),
  },
  {
    guard: 'parking what a parked pair displaces',
    edits: [
      {
        file: COMMIT,
        find: '    if (displaced !== undefined) await parkPair(trx, ...displaced)\n',
        replace: '',
      },
    ],
    tests: race(/displaced by a parked pair/),
  },
  {
    guard: 'retry in memory',
    edits: [
      {
        file: STORE,
        find: '      await delay(Math.min(waitMs, MAX_RETRY_MS))\n',
        replace: '      throw error\n',
      },
    ],
    tests: race(/tried again by the process that has the answer/),
  },
  {
    guard: 'reading on after the limit',
    edits: [
      {
        file: SEND,
        find: 'limitMs: claimant.sendLimitMs + engine.lingerMs,',
        replace: 'limitMs: claimant.sendLimitMs,',
      },
    ],
    tests: [{ file: 'test/unclear-refresh.test.ts', only: /later than the limit/ }],
  },
  {
    guard: 'committing what came after the limit',
    edits: [
      { file: 'src/refresh/sort.ts', find: '    storeLate(engine, result.late)\n', replace: '' },
      {
        file: 'src/refresh/sort.ts',
        find: 'import { storeAnswer, storeLate }',
        replace: 'import { storeAnswer }',
      },
    ],
    tests: race(/after the limit is committed/),
  },
  {
    guard: 'keep on receipt',
    edits: [
      {
        file: SEND,
        find: '      keep: (body, sentAtMs) => keepAnswer(engine, claim, body, sentAtMs),\n',
        replace: '      keep: () => void keepAnswer,\n',
      },
    ],
    tests: race(/killed in the tick after an answer came/),
  },
  {
    guard: 'the copy in Redis',
    edits: [
      {
        file: KEPT,
        find: '      await this.#copies.keep(kept, sealed)\n',
        replace: '      void sealed\n',
      },
    ],
    tests: race(/its disk is gone/),
  },
  {
    guard: 'kept until a newer pair is committed',
    edits: [
      {
        file: STORE,
        find: '    await keptAnswers.markSettled(answer)\n',
        replace: '    await keptAnswers.forget(answer)\n',
      },
    ],
    tests: race(/failover forgets the commit/),
  },
  {
    guard: 'kept though it is parked',
    edits: [
      {
        file: STORE,
        find: "    if (result === 'replaced') return",
        replace: "    if (result === 'replaced' || result === 'parked') return",
      },
    ],
    tests: race(/forgets that an answer was parked/),
  },
  {
    guard: "a kept answer's own fence",
    edits: UNDER_ROWS_FENCE,
    tests: race(/committed under its own fence/),
  },
  {
    guard: '"unreachable is not absent"',
    edits: [
      {
        file: KEPT,
        find: '    const copies = found.size > 0 ? [] : await this.#copies?.findAll(fence)\n',
        replace:
          '    const copies = found.size > 0 ? [] : await this.#copies?.findAll(fence).catch(() => [])\n',
      },
    ],
    tests: race(/a store that cannot be asked/),
  },
  {
    guard: 'R4: commit only while the attempt is unfinished',
    edits: [BY_ATTEMPT],
    tests: SCHEDULES,
  },
  {
    guard: "R8: a kept answer under the row's fence",
    edits: UNDER_ROWS_FENCE,
    tests: SCHEDULES,
  },
]
