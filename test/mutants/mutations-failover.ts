import type { Mutation } from './mutation.ts'

const claimTest = (only: RegExp) => [{ file: 'test/claim.test.ts', only }]
const race = (only: RegExp) => [{ file: 'test/races.test.ts', only }]

/** What a failover, a restore and servers of other kinds need. */
export const FAILOVER_MUTATIONS: Mutation[] = [
  {
    guard: 'redis: a Cluster without addresses is named',
    edits: [
      {
        file: 'src/db/redis.ts',
        find: "    if (isAlone) redis.emit('error', new NoAddress())\n",
        replace: '    log.trace({ isAlone })\n',
      },
    ],
    tests: [{ file: 'test/redis-kinds.test.ts', only: /announces no address/ }],
  },
  {
    guard: 'storage: timelines are shared through Redis',
    edits: [
      {
        file: 'src/db/shared-timeline.ts',
        find: '  storage.meet({ systemId, timeline: highest, isInRecovery: false })\n',
        replace: "  if (highest < 0) throw new Error('no timeline')\n",
      },
    ],
    tests: [{ file: 'test/storage-state.test.ts', only: /another replica has seen/ }],
  },
  {
    guard: 'forced rotation: a silent replica is waited for',
    edits: [
      {
        file: 'src/tokens/acknowledgements.ts',
        find: '  if (members?.every((owner) => heardBy.has(owner)))',
        replace: '  if (members?.some((owner) => heardBy.has(owner)))',
      },
    ],
    tests: [{ file: 'test/forced-rotation.test.ts', only: /for no longer/ }],
  },
  {
    guard: 'forced rotation: members are those after the commit',
    edits: [
      {
        file: 'src/tokens/acknowledgements.ts',
        find: '    this.#announced.set(id, announced)\n    try {\n',
        replace:
          '    this.#announced.set(id, announced)\n    try {\n      await this.#findMembers(announced)\n',
      },
      {
        file: 'src/tokens/acknowledgements.ts',
        find: '      void this.#findMembers(announced)\n',
        replace: '',
      },
    ],
    tests: [{ file: 'test/forced-rotation.test.ts', only: /for no longer/ }],
  },
  {
    guard: 'forced rotation: members are known only after a time with writes',
    edits: [
      {
        file: 'src/tokens/acknowledgements.ts',
        find: '    if (database.storage.steadyMs() < withinMs) return\n',
        replace: '    if (database.storage.steadyMs() < 0) return\n',
      },
    ],
    tests: [{ file: 'test/forced-rotation.test.ts', only: /read-only a moment ago/ }],
  },
  {
    guard: 'deadline: reports have it too',
    edits: [
      {
        file: 'src/tokens/reports.ts',
        find: '    return withinDeadline(inTime, this.#report(caller, inTime, generation))\n',
        replace:
          '    return this.#report(caller, { ...inTime, deadlineMs: Infinity }, generation)\n',
      },
    ],
    tests: [{ file: 'test/read-limits.test.ts', only: /a report has one deadline/ }],
  },
  {
    guard: 'start: a transaction pooler alone is refused',
    edits: [
      {
        file: 'src/db/require-notifications.ts',
        find: '  if (await database.hears().catch(() => true)) return\n',
        replace: '  if (await Promise.resolve(true)) return\n',
      },
    ],
    tests: [{ file: 'test/poolers.test.ts', only: /transaction pooler alone/ }],
  },
  {
    guard: 'start: an engine without LISTEN is refused',
    edits: [
      {
        file: 'src/db/listener.ts',
        find: "        if (failureOf(error) === 'statement') first.reject(new NoListen(codeOf(error)))\n",
        replace: '',
      },
    ],
    tests: [{ file: 'test/poolers.test.ts', only: /engine without LISTEN/ }],
  },
  {
    guard: 'adopt: the copies in Redis are taken over',
    edits: [
      {
        file: 'src/journal/adopt-copies.ts',
        find: '    await next.append(name, sealed)\n',
        replace: '',
      },
    ],
    tests: [{ file: 'test/verify-adopt.test.ts', only: /after a restore/ }],
  },
  {
    guard: 'adopt: generations after the backup are skipped',
    edits: [
      {
        file: 'src/db/adopt.ts',
        find: '    if (numUpdatedRows !== 1n) return false\n',
        replace: '    if (numUpdatedRows !== 1n) return false\n    if (known >= 0) return true\n',
      },
    ],
    tests: [{ file: 'test/verify-adopt.test.ts', only: /after a restore/ }],
  },
  {
    guard: 'audit: rows lost in a failover are no tampering',
    edits: [
      {
        file: 'src/audit/sealer.ts',
        find: '    if (known.timeline > 0 && timeline > known.timeline) return this.#reportLost(known, head)\n',
        replace: '',
      },
    ],
    tests: [{ file: 'test/failover.test.ts', only: /not taken for tampering/ }],
  },
  {
    guard: 'client certificates: required for everything but probes',
    edits: [
      {
        file: 'src/http/plugins/client-certificates.ts',
        find: '    if (isCertain || OPEN_PATHS',
        replace: '    if (!isCertain || OPEN_PATHS',
      },
    ],
    tests: [{ file: 'test/hardening.test.ts', only: /with client certificates/ }],
  },
  {
    guard: 'gap: a database that is older than the journal',
    edits: [
      {
        file: 'src/claims/ledger-age.ts',
        find: '  return rows[0]?.isBehind === true\n',
        replace: '  return rows.length > 1\n',
      },
    ],
    tests: [{ file: 'test/verify-adopt.test.ts', only: /backup under the same id/ }],
  },
  {
    guard: 'a start just after a failover leaves the others their time',
    edits: [
      {
        file: 'src/refresh/gap.ts',
        find: "      kind !== 'started' || isRestored || (await isOnNewTimeline(claimContext.claims))\n",
        replace: "      kind !== 'started' || (isRestored && isOnNewTimeline.length > 0)\n",
      },
    ],
    tests: [{ file: 'test/verify-adopt.test.ts', only: /a start just after a failover/ }],
  },
  {
    guard: 'a commit from before a gap marks nothing',
    edits: [
      {
        file: 'src/refresh/commit.ts',
        find: '    if (hadGap()) return\n',
        replace: '',
      },
    ],
    tests: race(/acknowledges a commit after the failover/),
  },
  {
    guard: 'an open response outlives newer commits',
    edits: [
      {
        file: 'src/journal/response-journal.ts',
        find: '      if (!isRemoved && this.#onDisk.isOpen(name)) continue\n',
        replace: '',
      },
    ],
    tests: race(/a newer commit does not delete it/),
  },
  {
    guard: 'the first commit on a promoted server raises the generations',
    edits: [
      {
        file: 'src/pairs/fence.ts',
        find: 'select amo_next_generation() as generation',
        replace: "select nextval('amo_generation') as generation",
      },
    ],
    tests: claimTest(/first commits on a promoted server/),
  },
  {
    guard: 'a move of the sequence begins at the time',
    edits: [
      {
        file: 'sql/202611262015_generations.sql',
        find: 'greatest(used + 1000000,\n      (extract(epoch from pg_catalog.clock_timestamp()) * 1000000)::bigint)',
        replace: 'used + 1000000',
      },
    ],
    tests: claimTest(/forgets that the sequence was raised/),
  },
]
