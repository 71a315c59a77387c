import type { Mutation } from './mutation.ts'

const accessTest = (only: RegExp) => [{ file: 'test/access.test.ts', only }]
const hardeningTest = (only: RegExp) => [{ file: 'test/hardening.test.ts', only }]
const auditTest = [{ file: 'test/audit.test.ts', only: /audit/ }]

/** Who may have which token, and where secrets may go (I8, I9). */
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
        file: 'src/tokens/lookup.ts',
        find: 'if (key === undefined || !mayRead(caller, key)) return undefined',
        replace: 'if (key === undefined) return undefined',
      },
    ],
    tests: accessTest(/every route|clients: keys/),
  },
  {
    guard: 'role check of operator routes',
    edits: [
      {
        file: 'src/clients/caller.ts',
        find: "  if (caller.role !== 'operator')\n",
        replace: "  if (caller.role === 'monitor')\n",
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
        replace: 'this.#heartbeat.nowMsIfHeard(3_000)',
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
    tests: accessTest(/clients: keys/),
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
        file: 'src/plugins/guess-limit.ts',
        find: '      if (worst.isExceeded) {\n',
        replace: '      if (worst.isExceeded && worst.max < 0) {\n',
      },
    ],
    tests: [{ file: 'test/clients.test.ts', only: /guessing/ }],
  },
  {
    guard: 'sealed value bound to its row',
    edits: [
      {
        file: 'src/vault/key-ring.ts',
        find: 'JSON.stringify([at.table, at.row, at.column, at.generation])',
        replace: 'JSON.stringify([at.table, at.column])',
      },
    ],
    tests: [{ file: 'test/attacks.test.ts', only: /attacks/ }],
  },
  {
    guard: 'redirects are not followed',
    edits: [
      {
        file: 'src/provider/call.ts',
        find: "import { Client, type Dispatcher } from 'undici'",
        replace: "import { Client, type Dispatcher, interceptors } from 'undici'",
      },
      {
        file: 'src/provider/call.ts',
        find: '  connection.dispatch(options, answerReader(request, resolve, reject))\n',
        replace:
          '  connection\n    .compose(interceptors.redirect({ maxRedirections: 1 }))\n    .dispatch(options, answerReader(request, resolve, reject))\n',
      },
    ],
    tests: hardeningTest(/outside calls/),
  },
  {
    guard: 'no private address',
    edits: [
      {
        file: 'src/provider/public-lookup.ts',
        find: "  return !notPublic.check(address, version === 6 ? 'ipv6' : 'ipv4')\n",
        replace: '  return version > 0\n',
      },
    ],
    tests: hardeningTest(/outside calls/),
  },
  {
    guard: 'allow-list of hosts',
    edits: [
      {
        file: 'src/provider/call.ts',
        find: "if (!isAllowedHost(client.profile, url.host) || url.protocol !== 'https:')",
        replace: "if (url.protocol !== 'https:')",
      },
    ],
    tests: hardeningTest(/outside calls/),
  },
  {
    guard: 'no answer is kept',
    edits: [
      {
        file: 'src/plugins/security-headers.ts',
        find: "  ['cache-control', 'no-store'],\n",
        replace: '',
      },
    ],
    tests: hardeningTest(/HTTP: headers/),
  },
  {
    guard: 'audit: the chain',
    edits: [
      {
        file: 'src/audit/verify.ts',
        find: 'if (found === seq + 1 && linkOf(hash, mac, found, row) !== row.mac) {',
        replace:
          'if (found === seq + 1 && row.mac === mac && linkOf(hash, mac, found, row) === mac) {',
      },
    ],
    tests: auditTest,
  },
  {
    guard: 'audit: a head that was cut off',
    edits: [
      {
        file: 'src/audit/verify.ts',
        find: '  if (newest > Math.max(seq, head.seq)) problems.push(gap(seq + 1, newest))\n',
        replace: '  if (newest < 0) problems.push(gap(seq + 1, newest))\n',
      },
    ],
    tests: auditTest,
  },
  {
    guard: 'audit: retention takes what is old from the beginning on',
    edits: [{ file: 'src/audit/sealer.ts', find: '      if (!row.isOld) break\n', replace: '' }],
    tests: auditTest,
  },
  {
    guard: 'audit: retention takes what fits the chain',
    edits: [
      {
        file: 'src/audit/sealer.ts',
        find: 'linkOf(hash, end.cutMac, seq, row) !== row.mac',
        replace: 'row.mac === null',
      },
    ],
    tests: auditTest,
  },
  {
    guard: 'next client secret: only when the client was refused',
    edits: [
      {
        file: 'src/integrations/service.ts',
        find: '    if (!SECRET_REFUSALS.has(code)) return false\n',
        replace: '    if (SECRET_REFUSALS.size === 0) return false\n',
      },
    ],
    tests: [{ file: 'test/keys.test.ts', only: /client secret/ }],
  },
  {
    guard: 'signature of the disconnect hook',
    edits: [
      {
        file: 'src/onboarding/disconnect.ts',
        find: '  return expected.some((each) => equalInConstantTime(each, hook.signature))\n',
        replace: '  return expected.every((each) => equalInConstantTime(each, each))\n',
      },
    ],
    tests: [{ file: 'test/attacks.test.ts', only: /attacks/ }],
  },
  {
    guard: 'state bound to the browser',
    edits: [
      {
        file: 'src/onboarding/state.ts',
        find: `    if (browserId === undefined) return { problem: 'other_browser' }
    if (!hash.matches(\`\${claim}.\${browserId}\`, mac)) return { problem: 'state_forged' }
`,
        replace: "    if (mac === browserId) return { problem: 'other_browser' }\n",
      },
    ],
    tests: [{ file: 'test/onboarding.test.ts', only: /callback|consent/ }],
  },
]
