import type { Mutation } from './mutation.ts'

const accessTest = (only: RegExp) => [{ file: 'test/access.test.ts', only }]

/** Guards of access to tokens: roles, grants, keys and guesses (I8, I9). */
export const ACCESS_MUTATIONS: Mutation[] = [
  {
    guard: 'grant check on a read',
    edits: [
      {
        file: 'src/clients/caller.ts',
        find: '    reach.integrations.has(integration) || reach.accounts.get(integration)?.has(accountId) === true\n',
        replace: '    reach.grants.length > 0 || integration.length > accountId\n',
      },
    ],
    tests: accessTest(/every route/),
  },
  {
    guard: 'grant check on a hit',
    edits: [
      {
        file: 'src/tokens/hit.ts',
        find: 'if (key === undefined || !mayRead(caller, key)) return undefined',
        replace: 'if (key === undefined) return undefined',
      },
    ],
    tests: accessTest(/every route|clients: keys/),
  },
  {
    guard: 'hit: min_ttl',
    edits: [
      {
        file: 'src/tokens/hit.ts',
        find: '    if (token.expiresAtMs - nowMs < minTtlSeconds * 1000) return undefined\n',
        replace: '    if (minTtlSeconds < 0) return undefined\n',
      },
    ],
    tests: [{ file: 'test/read-cost.test.ts', only: /the cost of a read/ }],
  },
  {
    guard: 'hit: only a token without a warning',
    edits: [
      {
        file: 'src/tokens/hand-out.ts',
        find: "    if (token.status === 'reauth_required') return this.#decide(token, 'reauth_required')\n",
        replace: '',
      },
    ],
    tests: [{ file: 'test/read-cost.test.ts', only: /the cost of a read/ }],
  },
  {
    guard: 'role check of operator routes',
    edits: [
      {
        file: 'src/clients/caller.ts',
        find: "  if (role === 'operator') return\n",
        replace: "  if (role !== 'monitor') return\n",
      },
    ],
    tests: accessTest(/every route/),
  },
  {
    guard: 'role check before the body is read',
    edits: [
      {
        file: 'src/http/plugins/role-scope.ts',
        find: "app.addHook('onRequest', async (request) => requireOperator(callerOf(request)))",
        replace: "app.addHook('preHandler', async (request) => requireOperator(callerOf(request)))",
      },
    ],
    tests: accessTest(/every route/),
  },
  {
    guard: 'key revocation',
    edits: [
      {
        file: 'src/clients/store.ts',
        find: "selectAll().where('revokedAt', 'is', null).execute()",
        replace: 'selectAll().execute()',
      },
    ],
    tests: accessTest(/clients: keys/),
  },
  {
    guard: 'key revocation: a dead LISTEN',
    edits: [
      {
        file: 'src/clients/directory.ts',
        find: 'this.#heartbeat.nowMsIfHeard(HEARD_MS)',
        replace: 'this.#heartbeat.nowMsIfHeard(60_000)',
      },
    ],
    tests: [{ file: 'test/clients.test.ts', only: /whose LISTEN is dead/ }],
  },
  {
    guard: 'key expiry',
    edits: [
      {
        file: 'src/clients/directory.ts',
        find: '    if (this.#heartbeat.nowMs() >= known.expiresAtMs) return undefined\n',
        replace: '',
      },
    ],
    tests: accessTest(/every route/),
  },
  {
    guard: 'key expiry: of a key that was recognised',
    edits: [
      {
        file: 'src/clients/directory.ts',
        find: 'nowMs !== undefined && nowMs < known.expiresAtMs ? known.caller : undefined',
        replace: 'nowMs !== undefined ? known.caller : undefined',
      },
    ],
    tests: accessTest(/clients: keys/),
  },
  {
    guard: 'key compare: the whole hash',
    edits: [
      {
        file: 'src/clients/directory.ts',
        find: '!timingSafeEqual(digest, known.digest)',
        replace: '!timingSafeEqual(digest.subarray(0, 8), known.digest.subarray(0, 8))',
      },
    ],
    tests: [{ file: 'test/clients.test.ts', only: /differs in its end/ }],
  },
  {
    guard: 'constant-time compare: the whole text',
    edits: [
      {
        file: 'src/vault/keyed-hash.ts',
        find: '  return timingSafeEqual(digest(left), digest(right))\n',
        replace: '  return digest(left).length > 0 && left.startsWith(right)\n',
      },
    ],
    tests: [{ file: 'test/vault.test.ts', only: /equalInConstantTime/ }],
  },
  {
    guard: 'limit on guessing',
    edits: [
      {
        file: 'src/http/plugins/guess-limit.ts',
        find: "    requireWithin(count, 'Too many failed keys from this address.')\n",
        replace: '',
      },
      {
        file: 'src/http/plugins/guess-limit.ts',
        find: 'import { createAddressLimit, requireWithin, type SharedCount }',
        replace: 'import { createAddressLimit, type SharedCount }',
      },
    ],
    tests: [{ file: 'test/clients.test.ts', only: /guessing/ }],
  },
]
