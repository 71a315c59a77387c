import type { Mutation } from './mutation.ts'

const deliveriesTest = (only: RegExp) => [{ file: 'test/deliveries.test.ts', only }]
const channelsTest = (only: RegExp) => [{ file: 'test/endpoint-channels.test.ts', only }]

/** Guards of what is sent to endpoints. */
export const DELIVERY_MUTATIONS: Mutation[] = [
  {
    guard: 'first attempts are in order per account',
    edits: [
      {
        file: 'src/deliveries/claim.ts',
        find: "and earlier.state = 'pending' and",
        replace: "and earlier.state = 'nothing' and",
      },
    ],
    tests: deliveriesTest(/order and retries/),
  },
  {
    guard: 'a delivery is finished only by its claim',
    edits: [
      {
        file: 'src/deliveries/finish.ts',
        find: "    .where('owner', '=', claimed.owner)\n",
        replace: '',
      },
    ],
    tests: deliveriesTest(/a late result/),
  },
  {
    guard: 'a copy of the database sends nothing',
    edits: [
      {
        file: 'src/deliveries/claim.ts',
        find: '  and exists (select from amo_deployment',
        replace: '  or exists (select from amo_deployment',
      },
    ],
    tests: deliveriesTest(/a copy of the database/),
  },
  {
    guard: 'endpoints are at public addresses',
    edits: [
      {
        file: 'src/endpoints/allowed-address.ts',
        find: "return isPublic && url.protocol === 'https:'",
        replace: "return url.protocol === 'https:'",
      },
    ],
    tests: channelsTest(/SSRF/),
  },
  {
    guard: 'a response that repeats the URL is not stored',
    edits: [
      {
        file: 'src/deliveries/excerpt.ts',
        find: '  if (partsOf(url).some((part) => lower.includes(part.toLowerCase()))) return null\n',
        replace: '',
      },
    ],
    tests: channelsTest(/a response is shown/),
  },
  {
    guard: 'two signatures while a secret is rotated',
    edits: [
      {
        file: 'src/deliveries/attempt.ts',
        find: 'previousSecret: isRotating ? previousSecret : null',
        replace: 'previousSecret: isRotating ? null : null',
      },
    ],
    tests: [{ file: 'test/endpoints.test.ts', only: /rotation/ }],
  },
  {
    guard: 'one replica at a time delivers a message: the lease',
    edits: [
      {
        file: 'src/deliveries/claim.ts',
        find: '\n  and (d."leaseUntil" is null or d."leaseUntil" < clock_timestamp())`',
        replace: '`',
      },
    ],
    tests: deliveriesTest(/two replicas/),
  },
  {
    guard: 'the lease of a sender that died ends',
    edits: [
      {
        file: 'src/deliveries/claim.ts',
        find: ' or d."leaseUntil" < clock_timestamp())`',
        replace: ')`',
      },
    ],
    tests: deliveriesTest(/kill -9/),
  },
  {
    guard: 'after the third failure the account goes on',
    edits: [
      {
        file: 'src/deliveries/claim.ts',
        find: `and earlier.attempts < \${PASSABLE_AFTER})`,
        replace: 'and true)',
      },
    ],
    tests: deliveriesTest(/order and retries/),
  },
  {
    guard: 'the signature covers the id',
    edits: [
      {
        file: 'src/deliveries/channels/webhook.ts',
        find: `\`\${id}.\${timestamp}.\${body}\``,
        replace: `\`\${timestamp}.\${body}\``,
      },
    ],
    tests: channelsTest(/standardwebhooks/),
  },
  {
    guard: 'the signature covers the time',
    edits: [
      {
        file: 'src/deliveries/channels/webhook.ts',
        find: `\`\${id}.\${timestamp}.\${body}\``,
        replace: `\`\${id}.\${body}\``,
      },
    ],
    tests: channelsTest(/standardwebhooks/),
  },
  {
    guard: 'the signature covers the body',
    edits: [
      {
        file: 'src/deliveries/channels/webhook.ts',
        find: `\`\${id}.\${timestamp}.\${body}\``,
        replace: `\`\${id}.\${timestamp}.\``,
      },
    ],
    tests: channelsTest(/standardwebhooks/),
  },
  {
    guard: 'the address of a delivery is the one that was checked',
    edits: [
      {
        file: 'src/deliveries/post.ts',
        find: 'lookup: lookupOf(isAllowed)',
        replace: 'lookup: lookupOf(() => true)',
      },
    ],
    tests: channelsTest(/SSRF/),
  },
  {
    guard: 'no delivery to an address that is written into the URL',
    edits: [
      {
        file: 'src/deliveries/post.ts',
        find: 'if (!isAllowedHost(url, mayBePrivate)) throw',
        replace: 'if (false) throw',
      },
    ],
    tests: channelsTest(/SSRF/),
  },
  {
    guard: 'five days of failures disable an endpoint',
    edits: [
      {
        file: 'src/deliveries/finish.ts',
        find: `coalesce("failingSince" < clock_timestamp() - \${GIVE_UP_DAYS} * interval '1 day', false))`,
        replace: 'false)',
      },
    ],
    tests: deliveriesTest(/five days/),
  },
  {
    guard: '410 disables an endpoint',
    edits: [
      {
        file: 'src/deliveries/finish.ts',
        find: `(\${outcome === 'gone'}::boolean`,
        replace: `(\${false}::boolean`,
      },
    ],
    tests: deliveriesTest(/five days/),
  },
]
