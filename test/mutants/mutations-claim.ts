import type { Mutation } from './mutation.ts'

const INSERT = 'src/claims/insert-claims.ts'
const RECLAIM = 'src/claims/reclaim-expired.ts'

const ROW_LOCK = {
  file: 'src/claims/claim-account.ts',
  find: ` and \${isDue}
    for no key update of t\``,
  replace: ` and \${isDue}\``,
}

const claimTest = (only: RegExp) => [{ file: 'test/claim.test.ts', only }]

/** Guards that give a token to one claim only (I1). */
export const CLAIM_MUTATIONS: Mutation[] = [
  {
    guard: 'row lock in the claim',
    edits: [ROW_LOCK],
    tests: claimTest(/rejected after waiting behind a commit|after waiting behind a failure/),
  },
  {
    guard: 'token read in a later statement',
    edits: [
      {
        file: INSERT,
        find: '  return rows.map((row) => ({ ...row, integration, leaseEndsAtMs }))',
        replace: `  const { rows: later } = await sql<{ accountId: number; refreshToken: string }>\`
    select "accountId", "refreshToken" from amo_tokens where integration = \${integration}
  \`.execute(claimContext.claims)
  return rows.map((row) => {
    const { refreshToken } = later.find(({ accountId }) => accountId === row.accountId) ?? row
    return { ...row, refreshToken, integration, leaseEndsAtMs }
  })`,
      },
    ],
    tests: claimTest(/its token belongs to its generation/),
  },
  {
    guard: 'one unfinished attempt an account',
    edits: [
      {
        file: 'sql/004_refresh_attempts.sql',
        find: 'create unique index amo_refresh_attempts_claim on amo_refresh_attempts (integration, "accountId")',
        replace:
          'create index amo_refresh_attempts_claim on amo_refresh_attempts (integration, "accountId")',
      },
      {
        file: INSERT,
        find: '      on conflict (integration, "accountId") where "finishedAt" is null do nothing\n',
        replace: '',
      },
      {
        file: INSERT,
        find: `\${isUnclaimed} and \${hasSecondPlace(claimContext)}`,
        replace: `\${hasSecondPlace(claimContext)}`,
      },
    ],
    tests: claimTest(/one at a time; the second|twenty at once/),
  },
  {
    guard: "the reclaim's comparison of the pair",
    edits: [
      {
        file: RECLAIM,
        find: `        and a."accountId" = t."accountId" and a.generation = t.generation
        and a."refreshTokenFingerprint" = t."refreshTokenFingerprint"
      where`,
        replace: `        and a."accountId" = t."accountId"
      where`,
      },
    ],
    tests: claimTest(/whose row moves on at the same time/),
  },
  {
    guard: 'an expired claim of a row that has moved on is superseded',
    edits: [
      {
        file: RECLAIM,
        find: '  await finishSuperseded(claimContext)\n',
        replace: '',
      },
    ],
    tests: claimTest(/reclaim: a sent claim whose row has moved on/),
  },
  {
    guard: 'R1, the first draft: insert … select … where generation',
    edits: [
      ROW_LOCK,
      {
        file: 'src/claims/claim-due-accounts.ts',
        find: `    order by t."nextAttemptAt"
    limit (select least(\${limit}::float8, greatest(0, floor(\${room(lane)})))::int
      from amo_integrations i where i.name = \${integration})
    for no key update of t skip locked\``,
        replace: '`',
      },
      {
        file: INSERT,
        find: `\${isUnclaimed} and \${hasSecondPlace(claimContext)}`,
        replace: `\${hasSecondPlace(claimContext)}`,
      },
    ],
    tests: [{ file: 'test/interleavings.test.ts' }],
  },
]
