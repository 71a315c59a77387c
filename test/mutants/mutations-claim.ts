import type { Mutation } from './mutation.ts'

const CLAIM = 'src/refresh/claim.ts'
const SEND = 'src/refresh/send.ts'
const TAKE_OVER = 'src/refresh/take-over.ts'

const ROW_LOCK = {
  file: CLAIM,
  find: `      or (t."failedAttempts" = 0 and t."refreshAt" <= clock_timestamp()))
    for no key update of t\``,
  replace: `      or (t."failedAttempts" = 0 and t."refreshAt" <= clock_timestamp()))\``,
}

const claimTest = (only: RegExp) => [{ file: 'test/claim.test.ts', only }]
const race = (only: RegExp) => [{ file: 'test/races.test.ts', only }]

/** Claim, send, take-over: what keeps a token from being sent twice (I1). */
export const CLAIM_MUTATIONS: Mutation[] = [
  {
    guard: 'row lock in the claim',
    edits: [ROW_LOCK],
    tests: claimTest(/waits behind a committing holder|waits behind a failure/),
  },
  {
    guard: 'token read in a later statement',
    edits: [
      {
        file: CLAIM,
        find: '  return rows.map((row) => ({ ...row, integration, leaseEndsAtMs }))',
        replace: `  const { rows: later } = await sql<{ accountId: number; refreshToken: string }>\`
    select "accountId", "refreshToken" from amo_tokens where integration = \${integration}
  \`.execute(claimant.claims)
  return rows.map((row) => {
    const { refreshToken } = later.find(({ accountId }) => accountId === row.accountId) ?? row
    return { ...row, refreshToken, integration, leaseEndsAtMs }
  })`,
      },
    ],
    tests: claimTest(/its token is the one of its generation/),
  },
  {
    guard: 'one unfinished attempt an account',
    edits: [
      {
        file: 'sql/001_tables.sql',
        find: 'create unique index amo_refresh_attempts_claim on amo_refresh_attempts (integration, "accountId")',
        replace:
          'create index amo_refresh_attempts_claim on amo_refresh_attempts (integration, "accountId")',
      },
      {
        file: CLAIM,
        find: '      on conflict (integration, "accountId") where "finishedAt" is null do nothing\n',
        replace: '',
      },
      {
        file: CLAIM,
        find: `        and not exists (select from amo_refresh_attempts a where a.integration = t.integration
          and a."accountId" = t."accountId" and a."finishedAt" is null)
`,
        replace: '',
      },
    ],
    tests: claimTest(/one at a time; the second one|twenty at once/),
  },
  {
    guard: "takeover's comparison",
    edits: [
      {
        file: TAKE_OVER,
        find: `        and a."accountId" = t."accountId" and a.generation = t.generation
        and a."refreshTokenFingerprint" = t."refreshTokenFingerprint"
      where`,
        replace: `        and a."accountId" = t."accountId"
      where`,
      },
    ],
    tests: claimTest(/whose row moves on meanwhile/),
  },
  {
    guard: 'a claim of a row that has moved on is superseded',
    edits: [{ file: TAKE_OVER, find: '  await finishMovedOn(claimant)\n', replace: '' }],
    tests: claimTest(/take-over: of a sent claim whose row has moved on/),
  },
  {
    guard: '`sentAt` write',
    edits: [
      {
        file: SEND,
        find: "  if (!(await recordSend(claimant, claim))) return { kind: 'not_ours' }\n",
        replace: '',
      },
    ],
    tests: race(/stopped between the record/),
  },
  {
    guard: 'fence of the `sentAt` write: generation and fingerprint',
    edits: [
      {
        file: CLAIM,
        find: `      and t.generation = a.generation and t."refreshTokenFingerprint" = a."refreshTokenFingerprint"\n`,
        replace: '',
      },
    ],
    tests: claimTest(/send: written down before, fenced/),
  },
  {
    guard: 'fence of the `sentAt` write: the lease',
    edits: [{ file: CLAIM, find: ` and a."leaseUntil" > clock_timestamp()\n`, replace: '\n' }],
    tests: claimTest(/send: not after the lease/),
  },
  {
    guard: 'fence of the `sentAt` write: the count of sends',
    edits: [
      {
        file: CLAIM,
        find: `      and a."sendCount" = \${claim.sendCount} and`,
        replace: '      and',
      },
    ],
    tests: race(/takes over its own claim/),
  },
  {
    guard: 'clock check in the writing tick',
    edits: [
      {
        file: SEND,
        find: "        if (!mayWrite(claimant, claim)) throw new CallFailed('LEASE_OVER', false)\n",
        replace: '',
      },
    ],
    tests: race(/stopped between the record/),
  },
  {
    guard: 'step 4 before a re-send',
    edits: [
      {
        file: SEND,
        find: '  if (!(await recordSend(claimant, claim)))',
        replace: '  if (claim.sendCount === 0 && !(await recordSend(claimant, claim)))',
      },
    ],
    tests: race(/while a taker probes/),
  },
  {
    guard: 'settle',
    edits: [
      {
        file: TAKE_OVER,
        find: `clock_timestamp() - \${claimant.settleMs} * interval '1 millisecond'\``,
        replace: 'clock_timestamp()`',
      },
    ],
    tests: claimTest(/after the lease, and what was sent only/),
  },
  {
    guard: 'owner id per start',
    edits: [
      {
        file: 'src/broker.ts',
        find: '    const owner = randomUUID()\n',
        replace: '    const owner = config.deploymentId\n',
      },
    ],
    tests: [{ file: 'test/recovery.test.ts', only: /another owner/ }],
  },
  {
    guard: 'R1, the first draft: insert … select … where generation',
    edits: [
      ROW_LOCK,
      {
        file: CLAIM,
        find: `    order by t."nextAttemptAt"
    limit (select least(\${limit}::float8, greatest(0, floor(\${room(lane)})))::int
      from amo_integrations i where i.name = \${integration})
    for no key update of t skip locked\``,
        replace: '`',
      },
      {
        file: CLAIM,
        find: `        and not exists (select from amo_refresh_attempts a where a.integration = t.integration
          and a."accountId" = t."accountId" and a."finishedAt" is null)
`,
        replace: '',
      },
    ],
    tests: [{ file: 'test/interleavings.test.ts' }],
  },
]
