import type { Mutation } from './mutation.ts'

const cacheTest = (only: RegExp) => [{ file: 'test/cache.test.ts', only }]

/** What stands around the refresh: the sweeper, the cache in front of it, and the brakes (I6, I10). */
export const SERVICE_MUTATIONS: Mutation[] = [
  {
    guard: 'sweeper',
    edits: [{ file: 'src/broker.ts', find: '    this.#sweeper.start()\n', replace: '' }],
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
        find: '    if (held === undefined || !this.#heartbeat.isTrusted()) return undefined\n',
        replace: '    if (held === undefined) return undefined\n',
      },
    ],
    tests: cacheTest(/without an echo/),
  },
  {
    guard: 'a gap in what was heard',
    edits: [
      {
        file: 'src/tokens/cache.ts',
        find: '    this.#heardSinceMs = performance.now()\n',
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
      { file: 'test/breaker.test.ts', only: /two unclear answers|failures of three accounts/ },
    ],
  },
  {
    guard: 'breaker: no claim while it is open',
    edits: [
      {
        file: 'src/refresh/gates.ts',
        find: 'isPassable: sql`not exists (select from amo_open_breakers o where o.integration = t.integration)`,',
        replace: 'isPassable: sql`true`,',
      },
    ],
    tests: [{ file: 'test/breaker.test.ts', only: /an open breaker: no claim/ }],
  },
  {
    guard: 'breaker: no send of a claim from before',
    edits: [
      {
        file: 'src/refresh/claim.ts',
        find: `(a.purpose = 'canary'
        or not exists (select from amo_open_breakers o where o.integration = t.integration))`,
        replace: 'true',
      },
    ],
    tests: [{ file: 'test/breaker.test.ts', only: /an open breaker: no claim/ }],
  },
  {
    guard: 'mass guard',
    edits: [
      {
        file: 'src/refresh/condemn.ts',
        find: 'const isFull = sql`cardinality(',
        replace: 'const isFull = sql`false and cardinality(',
      },
    ],
    tests: [
      { file: 'test/mass-guard.test.ts', only: /the fourth halts|condemned at once by replicas/ },
    ],
  },
  {
    guard: 'deployment binding: the claim',
    edits: [
      {
        file: 'src/refresh/claim.ts',
        find: `        and exists (select from amo_deployment where "deploymentId" = \${claimant.deploymentId})\n`,
        replace: '',
      },
    ],
    tests: [{ file: 'test/claim.test.ts', only: /refused where nothing may be sent/ }],
  },
  {
    guard: 'deployment binding: the take-over',
    edits: [
      {
        file: 'src/refresh/take-over.ts',
        find: `  return sql\`exists (select from amo_deployment where "deploymentId" = \${deploymentId})\``,
        replace: `  return sql\`\${deploymentId}::text is distinct from ''\``,
      },
    ],
    tests: [{ file: 'test/claim.test.ts', only: /take-over: of another deployment/ }],
  },
]
