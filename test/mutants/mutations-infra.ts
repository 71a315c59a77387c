import type { Mutation } from './mutation.ts'

const readOnly = (only: RegExp) => [{ file: 'test/read-only.test.ts', only }]
const states = (only: RegExp) => [{ file: 'test/storage-state.test.ts', only }]

/** What stands around the storage: its state, its sessions, deadlines and the rest of a token. */
export const INFRA_MUTATIONS: Mutation[] = [
  {
    guard: 'storage: read-only is no failure of the statement',
    edits: [
      {
        file: 'src/db/sqlstates.ts',
        find: "  '25006': 'read_only',",
        replace: "  '25006': 'statement',",
      },
    ],
    tests: states(/codes and messages/),
  },
  {
    guard: 'storage: an error while connecting is about the server',
    edits: [
      {
        file: 'src/db/failures.ts',
        find: "  return failure === 'statement' && whileConnecting.has(error) ? 'unreachable' : failure\n",
        replace: '  return failure\n',
      },
    ],
    tests: states(/prevented a connection/),
  },
  {
    guard: 'storage: a lower timeline is never used',
    edits: [
      {
        file: 'src/db/storage-state.ts',
        find: '    return isSameCluster && timeline !== null && timeline < this.#timeline\n',
        replace: '    return isSameCluster && timeline !== null && timeline < 0\n',
      },
    ],
    tests: states(/a lower timeline/),
  },
  {
    guard: 'storage: sessions end with a failover',
    edits: [
      {
        file: 'src/db/postgres.ts',
        find: '    for (const [, { retire }] of pools) retire()\n',
        replace: '',
      },
    ],
    tests: [{ file: 'test/failover.test.ts', only: /old sessions stay open/ }],
  },
  {
    guard: 'storage: the heartbeat makes new sessions',
    edits: [
      {
        file: 'src/db/postgres.ts',
        find: ', maxUses: BEATS_A_SESSION }',
        replace: ' }',
      },
    ],
    tests: [{ file: 'test/failover.test.ts', only: /old sessions stay open/ }],
  },
  {
    guard: 'storage: a standby hands out stale tokens',
    edits: [
      {
        file: 'src/tokens/reader.ts',
        find: '    if (isStale || storage.isBehind) return',
        replace: '    if (isStale) return',
      },
    ],
    tests: [{ file: 'test/failover.test.ts', only: /leads to a standby/ }],
  },
  {
    guard: 'storage: periodic work rests without writes',
    edits: [
      {
        file: 'src/wiring/task-of.ts',
        find: '  const gate = { isOpen: () => storage.canWrite(), isClosedBy: isStorageFailure }\n',
        replace: '  const gate = { isOpen: () => true, isClosedBy: () => storage.timeline < 0 }\n',
      },
    ],
    tests: readOnly(/one line in the log/),
  },
  {
    guard: 'deadline: one for the whole request',
    edits: [
      {
        file: 'src/tokens/request-deadline.ts',
        find: '  const result = await withTimeout(work, limitMs, undefined)\n',
        replace: '  const result = limitMs < 0 ? undefined : await work\n',
      },
      {
        file: 'src/tokens/request-deadline.ts',
        find: '  if (deadlineMs === undefined) return limitMs\n',
        replace: '  if (deadlineMs !== 0) return limitMs\n',
      },
    ],
    tests: [{ file: 'test/read-limits.test.ts', only: /one deadline/ }],
  },
  {
    guard: 'rest: too little life is not handed out',
    edits: [
      {
        file: 'src/tokens/hand-out.ts',
        find: '    const isSpent = token.isDead || nowMs >= token.restsAtMs\n',
        replace: '    const isSpent = token.isDead || nowMs >= token.expiresAtMs\n',
      },
    ],
    tests: [{ file: 'test/read-limits.test.ts', only: /MIN_REST_MS/ }],
  },
  {
    guard: 'rest: a promise ends before it',
    edits: [
      {
        file: 'src/tokens/cached-token.ts',
        find: 'Math.min(useUntilMs(row), this.restsAtMs)',
        replace: 'useUntilMs(row)',
      },
    ],
    tests: [{ file: 'test/read-limits.test.ts', only: /MIN_REST_MS/ }],
  },
  {
    guard: 'metrics: scrapes share one query',
    edits: [
      {
        file: 'src/http/metrics/routes.ts',
        find: '    running ??= work()',
        replace: '    running = work()',
      },
    ],
    tests: [{ file: 'test/read-limits.test.ts', only: /scrapes share/ }],
  },
  {
    guard: 'settings: a secret is given one way',
    edits: [
      {
        file: 'src/config/secret-files.ts',
        find: '    if (variables[name]) {\n',
        replace: '    if (variables[name] === file) {\n',
      },
    ],
    tests: [{ file: 'test/infra-settings.test.ts', only: /_FILE/ }],
  },
  {
    guard: 'redis: commands that fail are noticed',
    edits: [
      {
        file: 'src/db/redis-watch.ts',
        find: '    this.#timer = setInterval(() => void this.#write(), INTERVAL_MS).unref()\n',
        replace: '    await Promise.resolve(INTERVAL_MS)\n',
      },
      { file: 'src/db/redis-watch.ts', find: '    await this.#write()\n', replace: '' },
    ],
    tests: [{ file: 'test/redis-kinds.test.ts', only: /degraded/ }],
  },
]
