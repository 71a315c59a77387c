import type { Mutation } from './mutation.ts'

const RESOLVE = 'src/refresh/resolve.ts'
const CONDEMN = 'src/refresh/condemn.ts'

const claimTest = (only: RegExp) => [{ file: 'test/claim.test.ts', only }]
const race = (only: RegExp) => [{ file: 'test/races.test.ts', only }]

/** Looks at the row again, and then condemns whatever is there. */
const TWO_STATEMENTS = [
  {
    file: CONDEMN,
    find: '  const { rows } = await sql`\n    with locked as materialized (',
    replace: `  const fence = await findFence(claimant.claims, claim)
  if (fence?.fingerprint !== claim.fingerprint) return false
  const { rows } = await sql\`
    with locked as materialized (`,
  },
  {
    file: CONDEMN,
    find: `        and t.generation = \${claim.generation} and t."refreshTokenFingerprint" = \${claim.fingerprint}
        and exists (select from amo_refresh_attempts a where \${isOurs(claimant, claim)})
`,
    replace: '',
  },
  {
    file: CONDEMN,
    find: `      from judged where \${isOurs(claimant, claim)}
        and`,
    replace: `      from judged where a.id = \${claim.attemptId}
        and`,
  },
  {
    file: CONDEMN,
    find: "import type { FailureCode } from './failures.ts'\n",
    replace:
      "import { findFence } from './commit.ts'\nimport type { FailureCode } from './failures.ts'\n",
  },
]

/** Probe, verdict, revival: what keeps a healthy account from being condemned for good (I4). */
export const VERDICT_MUTATIONS: Mutation[] = [
  {
    guard: 'probe',
    edits: [
      {
        file: RESOLVE,
        find: '  const verdict = await probeAfterSend(engine, claim)\n',
        replace: `  void probeAfterSend
  const verdict: TokenVerdict = { verdict: 'alive', accountId: 0, domain: undefined }\n`,
      },
    ],
    tests: race(/late answer between a probe/),
  },
  {
    guard: 'probe before a permanent refusal is believed',
    edits: [
      {
        file: RESOLVE,
        find: `  if (verdict.verdict === 'alive') {
    log.error(`,
        replace: `  if (Math.random() > 2) {
    log.error(`,
      },
    ],
    tests: race(/refused though it lives/),
  },
  {
    guard: 'deferred verdict',
    edits: [
      {
        file: RESOLVE,
        find: '  await delay(commitBudgetMs(claimant))\n',
        replace: '  void delay\n',
      },
    ],
    tests: race(/late answer between a probe/),
  },
  {
    guard: 'condemning in one statement',
    edits: TWO_STATEMENTS,
    tests: claimTest(/condemn: one that waits behind a commit/),
  },
  {
    guard: "condemning by the claim's owner",
    edits: [
      {
        file: CONDEMN,
        find: ` and a.owner = \${owner} and`,
        replace: ` and \${owner}::text <> '' and`,
      },
    ],
    tests: claimTest(/condemn: by the owner alone/),
  },
  {
    guard: 'revival by a commit',
    edits: [
      {
        file: 'src/refresh/commit.ts',
        find: `      status = case when status <> 'reauth_required' then status
        when "approvedAt" is null then 'pending' else 'active' end\n`,
        replace: '      status = status\n',
      },
    ],
    tests: claimTest(/the fence decides, not the owner/),
  },
  {
    guard: 'revival by a probe',
    edits: [
      {
        file: 'src/refresh/examine.ts',
        find: "  if (verdict !== 'alive') return recheckLater(claimant, claim)\n",
        replace: '  if (Math.random() < 2) return recheckLater(claimant, claim)\n',
      },
    ],
    tests: race(/condemned by wrong answers/),
  },
  {
    guard: 'probing the condemned again',
    edits: [{ file: 'src/refresh/sweeper.ts', find: '    this.#recheck.start()\n', replace: '' }],
    tests: race(/condemned by wrong answers/),
  },
  {
    guard: 'parked pairs are probed before an account is condemned',
    edits: [
      {
        file: RESOLVE,
        find: ' || (await adoptParked(engine, claim))) return\n',
        replace: ') return void adoptParked\n',
      },
    ],
    tests: race(/a parked pair that lives/),
  },
  {
    guard: "adopting by the claim's owner",
    edits: [
      {
        file: 'src/refresh/commit.ts',
        find: "  if (isAdopted && !(await isAdopters(trx, answer))) return { result: 'not_ours' }\n",
        replace: '  void isAdopters\n',
      },
    ],
    tests: race(/a verdict of a claim that was taken over/),
  },
  {
    guard: 'R5: a look and a condemnation as two statements',
    edits: TWO_STATEMENTS,
    tests: [{ file: 'test/interleavings.test.ts' }],
  },
]
