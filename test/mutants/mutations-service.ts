import type { Mutation } from './mutation.ts'

const cacheTest = (only: RegExp) => [{ file: 'test/cache.test.ts', only }]

/**
 * Guards around the refresh: the sweeper, the cache in front of it, and the limits on sending (I6,
 * I10).
 */
export const SERVICE_MUTATIONS: Mutation[] = [
  {
    guard: 'sweeper',
    edits: [
      {
        file: 'src/broker.ts',
        find: '  const repairs = [sweeper, recheck, tokenChecks].map(',
        replace: '  const repairs = [recheck, tokenChecks].map(',
      },
    ],
    tests: [{ file: 'test/recovery.test.ts', only: /killed before the commit, its disk gone/ }],
  },
  {
    guard: 'cache epoch',
    edits: [
      {
        file: 'src/tokens/cache.ts',
        find: '      if ((this.#changed.get(key) ?? this.#oldestFill) > fill.epoch) continue\n',
        replace: '',
      },
    ],
    tests: cacheTest(/a fill that began before a change/),
  },
  {
    guard: 'heartbeat trust',
    edits: [
      {
        file: 'src/tokens/cache.ts',
        find: '    if (token === undefined || !this.#heartbeat.isTrusted()) return undefined\n',
        replace: '    if (token === undefined) return undefined\n',
      },
    ],
    tests: cacheTest(/without an echo/),
  },
  {
    guard: 'a gap in what was heard',
    edits: [
      {
        file: 'src/tokens/cache.ts',
        find: '    this.#gapEndedMs = performance.now()\n',
        replace: '',
      },
    ],
    tests: cacheTest(/after a gap/),
  },
  {
    guard: 'breaker: opened by failures',
    edits: [
      {
        file: 'src/refresh/breaker-rules.ts',
        find: '  return isOpening ? openFor(counted, failure.code, moment) : counted\n',
        replace:
          '  return isOpening && moment.nowMs < 0 ? openFor(counted, failure.code, moment) : counted\n',
      },
    ],
    tests: [
      { file: 'test/breaker.test.ts', only: /two unclear responses|for three accounts open it/ },
    ],
  },
  {
    guard: 'breaker: no claim while it is open',
    edits: [
      {
        file: 'src/claims/gates.ts',
        find: 'isPassable: isBreakerClosed,',
        replace: 'isPassable: sql`true`,',
      },
    ],
    tests: [{ file: 'test/breaker.test.ts', only: /an open breaker: no claim/ }],
  },
  {
    guard: 'breaker: no send of a claim from before',
    edits: [
      {
        file: 'src/claims/record-send.ts',
        find: `(a.purpose = 'canary' or \${isBreakerClosed})`,
        replace: `(a.purpose = 'canary' or true or \${isBreakerClosed})`,
      },
    ],
    tests: [{ file: 'test/breaker.test.ts', only: /an open breaker: no claim/ }],
  },
  {
    guard: 'mass guard',
    edits: [
      {
        file: 'src/claims/require-reauth.ts',
        find: 'const isFull = sql`cardinality(',
        replace: 'const isFull = sql`false and cardinality(',
      },
    ],
    tests: [{ file: 'test/mass-guard.test.ts', only: /the fourth halts|several replicas at once/ }],
  },
  {
    guard: 'deployment binding: the claim',
    edits: [
      {
        file: 'src/claims/insert-claims.ts',
        find: `        and \${isBoundHere(claimContext)}\n`,
        replace: '',
      },
    ],
    tests: [{ file: 'test/claim.test.ts', only: /claim: rejected where nothing may be sent/ }],
  },
  {
    guard: 'deployment binding: the reclaim',
    edits: [
      {
        file: 'src/claims/reclaim-expired.ts',
        find: `        and \${isBoundHere(claimContext)}\n`,
        replace: `        and (true or \${isBoundHere(claimContext)})\n`,
      },
    ],
    tests: [
      {
        file: 'test/claim.test.ts',
        only: /reclaim: nothing in the database of another deployment/,
      },
    ],
  },
]
