import type { Mutation } from './mutation.ts'

const RECORD = 'src/claims/record-send.ts'
const SEND = 'src/refresh/send.ts'
const RECLAIM = 'src/claims/reclaim-expired.ts'

const claimTest = (only: RegExp) => [{ file: 'test/claim.test.ts', only }]
const race = (only: RegExp) => [{ file: 'test/races.test.ts', only }]

/** Guards of the send and of the end of a claim, so that a token is not sent twice (I1). */
export const SEND_MUTATIONS: Mutation[] = [
  {
    guard: '`sentAt` write',
    edits: [
      {
        file: SEND,
        find: "  if (!(await recordSend(claimContext, claim))) return { kind: 'not_recorded' }\n",
        replace: '',
      },
    ],
    tests: race(/frozen between the record/),
  },
  {
    guard: 'fence of the `sentAt` write: generation and fingerprint',
    edits: [
      {
        file: RECORD,
        find: `      and t.generation = a.generation and t."refreshTokenFingerprint" = a."refreshTokenFingerprint"\n`,
        replace: '',
      },
    ],
    tests: claimTest(/send: recorded before, fenced/),
  },
  {
    guard: 'fence of the `sentAt` write: the lease',
    edits: [{ file: RECORD, find: ` and a."leaseUntil" > clock_timestamp()\n`, replace: '\n' }],
    tests: claimTest(/send: not after the lease/),
  },
  {
    guard: 'fence of the `sentAt` write: the count of sends',
    edits: [
      {
        file: RECORD,
        find: `      and a."sendCount" = \${claim.sendCount} and`,
        replace: '      and',
      },
    ],
    tests: race(/reclaims its own claim/),
  },
  {
    guard: 'clock check in the writing tick',
    edits: [
      {
        file: SEND,
        find: '        if (!hasLeaseForSend(claimContext, claim)) throw new CallFailed(LEASE_OVER, false)\n',
        replace: '',
      },
    ],
    tests: race(/frozen between the record/),
  },
  {
    guard: 'step 4 before a re-send',
    edits: [
      {
        file: SEND,
        find: '  if (!(await recordSend(claimContext, claim)))',
        replace: '  if (claim.sendCount === 0 && !(await recordSend(claimContext, claim)))',
      },
    ],
    tests: race(/while a reclaimer probes/),
  },
  {
    guard: 'settle',
    edits: [
      {
        file: RECLAIM,
        find: `clock_timestamp() - \${claimContext.limits.settleMs} * interval '1 millisecond'\``,
        replace: 'clock_timestamp()`',
      },
    ],
    tests: claimTest(/after the lease, and what was sent only/),
  },
  {
    guard: 'owner id per start',
    edits: [
      {
        file: 'src/wiring/foundation.ts',
        find: '  const owner = randomUUID()\n',
        replace: '  const owner = config.deploymentId\n',
      },
    ],
    tests: [{ file: 'test/recovery.test.ts', only: /another owner/ }],
  },
  {
    guard: 'an unsent claim is released within its lease',
    edits: [
      {
        file: 'src/refresh/refresh.ts',
        find: '    await releaseBrokenOff(this.#context, claim)\n',
        replace: '    void releaseBrokenOff\n',
      },
    ],
    tests: race(/send that cannot be recorded/),
  },
  {
    guard: 'only an unsent claim is released when it breaks off',
    edits: [
      {
        file: 'src/claims/release-unsent.ts',
        find: `      and "sendCount" = \${claim.sendCount} and`,
        replace: '      and',
      },
      {
        file: 'src/claims/release-unsent.ts',
        find: `("sendCount" = 0 or \${isProvedUnspent}::boolean)`,
        replace: `(true or \${isProvedUnspent}::boolean)`,
      },
    ],
    tests: race(/record is not acknowledged/),
  },
  {
    guard: 'a claim that was not acknowledged is released',
    edits: [
      {
        file: 'src/refresh/sweeper.ts',
        find: '    await releaseUnknown(this.#context.claimContext, this.#refresher.attempts)\n',
        replace: '    void releaseUnknown\n',
      },
    ],
    tests: race(/claim that is not acknowledged/),
  },
  {
    guard: 'no more claims than the pool can carry',
    edits: [
      {
        file: 'src/refresh/scheduler.ts',
        find: 'this.#maxUnsent - unsent)',
        replace: 'this.#maxUnsent + unsent + MAX_IN_FLIGHT)',
      },
    ],
    tests: [{ file: 'test/scheduler.test.ts', only: /than the pool can carry/ }],
  },
  {
    guard: 'our own stop is no evidence about the provider',
    edits: [
      {
        file: 'src/refresh/classify.ts',
        find: "      if (result.failure === LEASE_OVER) return { kind: 'stopped' }\n",
        replace: '      void LEASE_OVER\n',
      },
    ],
    tests: race(/breaker does not count it/),
  },
  {
    guard: 'a 401 without a hint proves nothing',
    edits: [
      {
        file: 'src/refresh/follow-move.ts',
        find: '  if (!isUnauthorized) {\n',
        replace: "  if (!isUnauthorized || probe.state !== 'alive') {\n",
      },
    ],
    tests: [{ file: 'test/unclear-refresh.test.ts', only: /401 without a hint/ }],
  },
  {
    guard: 'a refusal as spent under a reclaimed claim is counted',
    edits: [
      {
        file: 'src/refresh/finish.ts',
        find: "      if (code === 'token_revoked') await countReuse(context, claim)\n",
        replace: '      void countReuse\n',
      },
    ],
    tests: [{ file: 'test/unclear-refresh.test.ts', only: /counted as reuse/ }],
  },
  {
    guard: 'a refusal as spent that a probe contradicts is not counted',
    edits: [
      {
        file: 'src/refresh/finish.ts',
        find: "  if (state !== 'alive') context.process.counters.reuseSuspected.inc()",
        replace: '  void state\n  context.process.counters.reuseSuspected.inc()',
      },
    ],
    tests: [{ file: 'test/unclear-refresh.test.ts', only: /counted as reuse/ }],
  },
]
