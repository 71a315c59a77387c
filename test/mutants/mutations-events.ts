import type { Mutation } from './mutation.ts'

const eventsTest = (only: RegExp) => [{ file: 'test/events.test.ts', only }]
const upkeepTest = (only: RegExp) => [{ file: 'test/event-upkeep.test.ts', only }]

/** Guards of the order of events, and of how long they stay. */
export const EVENT_MUTATIONS: Mutation[] = [
  {
    guard: 'an event of an open transaction comes behind what readers have seen',
    edits: [
      {
        file: 'src/events/sequence.ts',
        find: `\${head}::bigint + row_number() over (order by inserted) as position`,
        replace: 'inserted as position',
      },
    ],
    tests: eventsTest(/open across 100/),
  },
  {
    guard: 'positions and deliveries are one transaction',
    edits: [
      {
        file: 'src/events/sequence.ts',
        find: 'await fanOut(trx, events)',
        replace: 'await fanOut(db as never, events)',
      },
    ],
    tests: [{ file: 'test/event-kills.test.ts', only: /kill -9/ }],
  },
  {
    guard: 'the events of an account are numbered on',
    edits: [
      {
        file: 'src/events/sequence.ts',
        find: 'where earlier.integration = batch.integration and earlier',
        replace: 'where false and earlier',
      },
    ],
    tests: eventsTest(/a change of a row/),
  },
  {
    guard: 'what ends is announced once',
    edits: [
      {
        file: 'src/events/ending-watch.ts',
        find: 'ends in %s\', integration, "accountId", generation, days)',
        replace: 'ends in %s\', integration, "accountId", generation, clock_timestamp())',
      },
    ],
    tests: upkeepTest(/once each/),
  },
  {
    guard: 'the newest event of an account stays',
    edits: [
      {
        file: 'src/events/retention.ts',
        find: 'and (e."accountId" is null',
        replace: 'and (true',
      },
    ],
    tests: upkeepTest(/EVENT_DAYS/),
  },
  {
    guard: 'an event stays while its delivery is there',
    edits: [
      {
        file: 'src/events/retention.ts',
        find: 'where d."eventIds" @> array[e.id]',
        replace: 'where false and d."eventIds" @> array[e.id]',
      },
    ],
    tests: upkeepTest(/EVENT_DAYS/),
  },
  {
    guard: 'an announcement stays until the end',
    edits: [
      {
        file: 'src/events/retention.ts',
        find: "coalesce((e.detail->>'ends_at')::timestamptz < clock_timestamp(), true)",
        replace: 'true',
      },
    ],
    tests: upkeepTest(/EVENT_DAYS/),
  },
]
