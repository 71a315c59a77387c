import type { Mutation } from './mutation.ts'

const RESOLVE = 'src/refresh/resolve.ts'
const REQUIRE = 'src/claims/require-reauth.ts'
const REFUSED = 'src/refresh/finish-refused.ts'
const DEAD = 'src/refresh/finish-dead.ts'

const claimTest = (only: RegExp) => [{ file: 'test/claim.test.ts', only }]
const race = (only: RegExp) => [{ file: 'test/races.test.ts', only }]

/** Reads the row again, and then requires a new consent regardless of its new state. */
const TWO_STATEMENTS = [
  {
    file: REQUIRE,
    find: '  const { rows } = await sql`\n    with locked as materialized (',
    replace: `  const fence = await findFence(claimContext.claims, claim)
  if (fence?.fingerprint !== claim.fingerprint) return false
  const { rows } = await sql\`
    with locked as materialized (`,
  },
  {
    file: REQUIRE,
    find: `        and t.generation = \${claim.generation} and t."refreshTokenFingerprint" = \${claim.fingerprint}
        and exists (select from amo_refresh_attempts a where \${isOwned(claimContext, claim)})
`,
    replace: '',
  },
  {
    file: REQUIRE,
    find: `      from decided where \${isOwned(claimContext, claim)}
        and`,
    replace: `      from decided where a.id = \${claim.attemptId}
        and`,
  },
  {
    file: REQUIRE,
    find: "import type { FailureCode } from '../provider/failures.ts'\n",
    replace:
      "import { findFence } from '../pairs/fence.ts'\nimport type { FailureCode } from '../provider/failures.ts'\n",
  },
]

/**
 * Probe, `reauth_required`, revival: the guards that keep a healthy account from needing a new
 * consent (I4).
 */
export const REAUTH_MUTATIONS: Mutation[] = [
  {
    guard: 'probe',
    edits: [
      {
        file: RESOLVE,
        find: '  const probe = await probeAfterSend(context, claim)\n',
        replace: `  void probeAfterSend
  const probe: ProbeResult = { state: 'alive', accountId: 0, domain: undefined }\n`,
      },
      {
        file: RESOLVE,
        find: "import { probeAfterSend, probeClaim } from './probe-claim.ts'",
        replace: "import { type ProbeResult, probeAfterSend, probeClaim } from './probe-claim.ts'",
      },
    ],
    tests: race(/late response between a probe/),
  },
  {
    guard: 'probe before a permanent refusal is believed',
    edits: [
      {
        file: REFUSED,
        find: "  if (probe.state === 'alive') {\n",
        replace: '  if (Math.random() > 2) {\n',
      },
    ],
    tests: race(/refused although it is alive/),
  },
  {
    guard: 'time for a late response before a pair counts as lost',
    edits: [
      {
        file: RESOLVE,
        find: '      await claimContext.clock.sleep(commitBudgetMs(claimContext))\n',
        replace: '      void commitBudgetMs\n',
      },
    ],
    tests: race(/late response between a probe/),
  },
  {
    guard: 'reauth_required in one statement',
    edits: TWO_STATEMENTS,
    tests: claimTest(/requireReauth: changes nothing after waiting behind a commit/),
  },
  {
    guard: "reauth_required by the claim's owner",
    edits: [
      {
        file: REQUIRE,
        find: ` and a.owner = \${owner} and`,
        replace: ` and \${owner}::text <> '' and`,
      },
    ],
    tests: claimTest(/requireReauth: by the owner only/),
  },
  {
    guard: 'revival by a commit',
    edits: [
      {
        file: 'src/pairs/put-pair-into-row.ts',
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
        file: 'src/refresh/recheck.ts',
        find: "  if (state !== 'alive') return postponeRecheck(claimContext, claim)\n",
        replace: `  if (state !== 'alive' || Math.random() < 2)
    return postponeRecheck(claimContext, claim)\n`,
      },
    ],
    tests: race(/reauth_required by wrong responses/),
  },
  {
    guard: 'probing accounts that are reauth_required again',
    edits: [
      {
        file: 'src/claims/find-rechecks.ts',
        find: "where status = 'reauth_required' and",
        replace: "where status = 'reauth_required' and false and",
      },
    ],
    tests: race(/reauth_required by wrong responses/),
  },
  {
    guard: 'parked pairs are probed before an account is reauth_required',
    edits: [
      {
        file: DEAD,
        find: ' || (await adoptParked(context, claim))) return\n',
        replace: ') return void adoptParked\n',
      },
    ],
    tests: race(/a parked pair that is alive/),
  },
  {
    guard: "adopting by the claim's owner",
    edits: [
      {
        file: 'src/pairs/commit-pair.ts',
        find: "  if (isAdopted && !(await isOwnedByAdopter(trx, received))) return { result: 'not_ours' }\n",
        replace: '  void isOwnedByAdopter\n',
      },
    ],
    tests: race(/a probe under a claim that was reclaimed/),
  },
  {
    guard: 'the canary goes at once with a new client secret',
    edits: [
      {
        file: 'src/integrations/credential-record.ts',
        find: '    if (isUntried) await tryAgainNow(db, [name])\n',
        replace: '',
      },
    ],
    tests: [{ file: 'test/breaker.test.ts', only: /the canary goes at once/ }],
  },
  {
    guard: 'two wrong client secrets are not tried in turn',
    edits: [
      {
        file: 'src/integrations/credential-record.ts',
        find: 'const isUntried = this.#refusedSecrets.get(name)?.reveal() !== present?.reveal()',
        replace: 'const isUntried = this.#refusedSecrets.size >= 0 && present !== undefined',
      },
    ],
    tests: [{ file: 'test/breaker.test.ts', only: /two wrong client secrets/ }],
  },
  {
    guard: 'never earlier than Retry-After',
    edits: [
      {
        file: 'src/claims/release-with-backoff.ts',
        find: '::float8 * (1 + random() / 4),',
        replace: '::float8 * (0.5 + random() / 4),',
      },
    ],
    tests: claimTest(/the account waits longer every time/),
  },
  {
    guard: 'a check believes two refusals of both tokens only',
    edits: [
      {
        file: 'src/refresh/token-checks.ts',
        find: ' && isStrong && token.isSuspect)',
        replace: ' && isStrong)',
      },
    ],
    tests: [{ file: 'test/token-checks.test.ts', only: /revoked in the account/ }],
  },
  {
    guard: 'a check believes a strong probe only',
    edits: [
      {
        file: 'src/refresh/token-checks.ts',
        find: ".profile.probe === 'strong'",
        replace: ".profile.probe !== 'none'",
      },
    ],
    tests: [{ file: 'test/token-checks.test.ts', only: /a weak probe/ }],
  },
  {
    guard: 'no account at its host, and a dead token: reauth_required',
    edits: [
      {
        file: 'src/refresh/follow-move.ts',
        find: "  if (probe.state === 'dead') {\n",
        replace: "  if (probe.state === 'dead' && isUnauthorized) {\n",
      },
    ],
    tests: [{ file: 'test/token-checks.test.ts', only: /no account at its host/ }],
  },
  {
    guard: 'an unknown refusal and a dead token: reauth_required for what was seen',
    edits: [
      {
        file: 'src/refresh/finish-unknown.ts',
        find: "      return finishDead(context, claim, code, 'refused')\n",
        replace: '      return void finishDead\n',
      },
    ],
    tests: [{ file: 'test/token-checks.test.ts', only: /wants to be paid/ }],
  },
  {
    guard: 'R5: reauth_required in two statements',
    edits: TWO_STATEMENTS,
    tests: [{ file: 'test/interleavings.test.ts' }],
  },
]
