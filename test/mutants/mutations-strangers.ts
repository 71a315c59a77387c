import type { Mutation, TestFile } from './mutation.ts'

const strangersTest = (only: RegExp): TestFile[] => [{ file: 'test/strangers.test.ts', only }]
const requestsTest = (only: RegExp): TestFile[] => [{ file: 'test/requests.test.ts', only }]
const waysTest = (only: RegExp): TestFile[] => [{ file: 'test/accounts.test.ts', only }]

/** What people outside, and clients with a key, cannot do with their requests. */
export const STRANGERS_MUTATIONS: Mutation[] = [
  {
    guard: 'copied values have clean ends',
    edits: [
      {
        file: 'src/integrations/check-urls.ts',
        find: '  if (AT_AN_END.test(value)) {\n',
        replace: '  if (AT_AN_END.test(value.trim())) {\n',
      },
    ],
    tests: waysTest(/integrations: operators/),
  },
  {
    guard: 'no NUL reaches PostgreSQL',
    edits: [
      {
        file: 'src/http/plugins/bodies.ts',
        find: "      if (!request.url.includes('%00') && isStorable(request.body)) return done()\n",
        replace: "      if (!request.url.includes('%00')) return done()\n",
      },
    ],
    tests: strangersTest(/what a stranger/),
  },
  {
    guard: 'an id is a UUID as PostgreSQL reads it',
    edits: [
      {
        file: 'src/contract/fields.ts',
        find: "  pattern: '^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$',\n",
        replace: "  format: 'uuid',\n",
      },
    ],
    tests: strangersTest(/what a stranger/),
  },
  {
    guard: 'reports are counted by client',
    edits: [
      {
        file: 'src/tokens/report-limit.ts',
        find: `    const key = \`\${client} \${keyText(account)}\`\n`,
        replace: '    const key = client === keyText(account) ? client : keyText(account)\n',
      },
    ],
    tests: requestsTest(/reports are counted/),
  },
  {
    guard: 'alive answers no report that comes later',
    edits: [
      {
        file: 'src/tokens/token-probes.ts',
        find: '    if (probe.isEnded && !probe.isDead) probe = await this.#next(probe, key, token)\n',
        replace: '    if (probe.isEnded && !probe.isDead) return probe.result\n',
      },
    ],
    tests: requestsTest(/reports are counted/),
  },
  {
    guard: 'one warning about an unknown generation',
    edits: [
      {
        file: 'src/tokens/unknown-generations.ts',
        find: '    if (!isFound && !this.#warned.has(name)) {\n',
        replace: '    if (!isFound) {\n',
      },
    ],
    tests: [{ file: 'test/tokens.test.ts', only: /refresh/ }],
  },
  {
    guard: 'places on disk: each state and network has a share',
    edits: [
      {
        file: 'src/onboarding/callback-places.ts',
        find: '    if (same.length >= all || same.filter((place) => place.of === of).length >= each) return false\n',
        replace:
          '    if (same.length >= all + each || same.some((place) => place.of === name)) return false\n',
      },
    ],
    tests: strangersTest(/places on disk/),
  },
  {
    guard: 'Redis cannot turn away calls that come once',
    edits: [
      {
        file: 'src/http/plugins/address-limit.ts',
        find: '      if (isOneTimeCall(request)) return\n',
        replace: "      if (isOneTimeCall(request) && request.method === 'x') return\n",
      },
    ],
    tests: strangersTest(/what a stranger/),
  },
  {
    guard: 'fingerprints of codes are kept',
    edits: [
      {
        file: 'src/onboarding/retention.ts',
        find: "    select fingerprint from old where kind = 'callback' on conflict do nothing\n",
        replace:
          "    select fingerprint from old where kind = 'disconnect' on conflict do nothing\n",
      },
    ],
    tests: strangersTest(/after 90 days/),
  },
  {
    guard: 'a pair that was not stored is kept',
    edits: [
      {
        file: 'src/onboarding/retention.ts',
        find: '      where "finishedAt" is not null and pair is null and',
        replace: '      where "finishedAt" is not null and',
      },
    ],
    tests: strangersTest(/after 90 days/),
  },
  {
    guard: 'an empty body is none',
    edits: [
      {
        file: 'src/http/plugins/bodies.ts',
        find: "        body === '' ? done(null, undefined) : parseJson(request, body, done),\n",
        replace: '        parseJson(request, body, done),\n',
      },
    ],
    tests: [{ file: 'test/access.test.ts', only: /every route/ }],
  },
  {
    guard: 'a request id is well-formed',
    edits: [
      {
        file: 'src/http/plugins/request-id.ts',
        find: "    if (typeof given === 'string' && WELL_FORMED.test(given)) return given\n",
        replace: "    if (typeof given === 'string' && WELL_FORMED.source) return given\n",
      },
    ],
    tests: requestsTest(/requests: ids/),
  },
  {
    guard: 'a read that is no hit belongs to its request',
    edits: [
      {
        file: 'src/http/tokens/routes.ts',
        find: '      return runInRequest(request, () => readAndSend(request, reply, wanted))\n',
        replace: '      return readAndSend(request, reply, wanted)\n',
      },
    ],
    tests: requestsTest(/requests: ids/),
  },
  {
    guard: 'the line of a request has its trace',
    edits: [
      {
        file: 'src/http/plugins/request-log.ts',
        find: "      runInRequest(request, () => log[level](fields, 'request answered'))\n",
        replace: "      log[level](fields, 'request answered')\n",
      },
    ],
    tests: requestsTest(/requests: ids/),
  },
  {
    guard: 'import: the account’s own host is asked',
    edits: [
      {
        file: 'src/onboarding/import.ts',
        find: '  const host = refresh?.domain ?? named\n',
        replace: '  const host = named || refresh?.domain || named\n',
      },
    ],
    tests: waysTest(/accounts\/import/),
  },
]
