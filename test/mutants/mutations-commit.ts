import type { Mutation } from './mutation.ts'

const COMMIT = 'src/pairs/commit-pair.ts'
const PUT = 'src/pairs/put-pair-into-row.ts'
const ATTEMPT = 'src/pairs/pair-attempt.ts'
const STORE = 'src/refresh/commit.ts'
const SEND = 'src/refresh/send.ts'
const FENCE = `      and "refreshTokenFingerprint" = \${received.fingerprint}
    returning generation`

const claimTest = (only: RegExp) => [{ file: 'test/claim.test.ts', only }]
const race = (only: RegExp) => [{ file: 'test/races.test.ts', only }]
const SCHEDULES = [{ file: 'test/interleavings.test.ts' }]

/** Commit only while the attempt is unfinished. */
const BY_ATTEMPT = {
  file: PUT,
  find: FENCE,
  replace: FENCE.replace(
    '    returning',
    `      and exists (select from amo_refresh_attempts a
        where a.id = \${received.attemptId} and a."finishedAt" is null)
    returning`,
  ),
}

/** Guards that keep a pair from being lost, or replaced by an older one (I2, I3). */
export const COMMIT_MUTATIONS: Mutation[] = [
  {
    guard: 'the token decides, not its generation',
    edits: [
      {
        file: PUT,
        find: FENCE,
        replace: FENCE.replace(
          '    returning',
          `      and generation = \${received.generation}\n    returning`,
        ),
      },
    ],
    tests: claimTest(/came back under another generation/),
  },
  {
    guard: 'fingerprint in the fence',
    edits: [
      {
        file: PUT,
        find: FENCE,
        replace: FENCE.replace(/"refresh\S+ = \S+/, `generation = \${received.generation}`),
      },
    ],
    tests: claimTest(/fenced by the fingerprint/),
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
    tests: claimTest(/an own commit is recognised/),
  },
  {
    guard: 'parking the loser',
    edits: [
      {
        file: COMMIT,
        find: `  await parkInAttempt(commitContext, trx, received, { isFinished: true })\n`,
        replace: '',
      },
    ],
    tests: claimTest(/the later of two pairs is parked/),
  },
  {
    guard: 'parking a second answer to one claim',
    edits: [
      {
        file: ATTEMPT,
        find: '  await parkPair(trx, { ...received, sealed })\n',
        replace: '',
      },
    ],
    tests: claimTest(/two pairs under one claim/),
  },
  {
    guard: 'parking what a parked pair displaces',
    edits: [
      {
        file: COMMIT,
        find: '    if (displaced !== undefined) await parkPair(trx, displaced)\n',
        replace: '',
      },
    ],
    tests: race(/displaced by a parked one/),
  },
  {
    guard: 'retry in memory',
    edits: [
      {
        file: STORE,
        find: '      await clock.sleep(Math.min(waitMs, MAX_RETRY_MS))\n',
        replace: '      void clock\n      throw err\n',
      },
    ],
    tests: race(/repeated by the process that has the response/),
  },
  {
    guard: 'reading on after the limit',
    edits: [
      {
        file: SEND,
        find: 'limitMs: limits.sendLimitMs + limits.lingerMs,',
        replace: 'limitMs: limits.sendLimitMs,',
      },
    ],
    tests: [{ file: 'test/unclear-refresh.test.ts', only: /a response after the limit/ }],
  },
  {
    guard: 'committing what came after the limit',
    edits: [
      {
        file: 'src/refresh/finish.ts',
        find: '      commitLateResponse(context, classification.late)\n',
        replace: '',
      },
      {
        file: 'src/refresh/finish.ts',
        find: 'import { commitLateResponse, commitWithRetry }',
        replace: 'import { commitWithRetry }',
      },
    ],
    tests: race(/after the limit is committed/),
  },
  {
    guard: 'R4: commit only while the attempt is unfinished',
    edits: [BY_ATTEMPT],
    tests: SCHEDULES,
  },
]
