import type { Mutation } from './mutation.ts'

const hardeningTest = (only: RegExp) => [{ file: 'test/hardening.test.ts', only }]
const auditTest = [{ file: 'test/audit.test.ts', only: /audit/ }]

/** Guards of the places where secrets may go, and of the audit of their use (I8, I9). */
export const SECRET_MUTATIONS: Mutation[] = [
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
        file: 'src/lib/public-lookup.ts',
        find: '  return isIn(unicast, bare) && !isIn(special, bare)\n',
        replace: '  return true\n',
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
        file: 'src/http/plugins/security-headers.ts',
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
        file: 'src/audit/verify-chain.ts',
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
        file: 'src/audit/verify-chain.ts',
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
        file: 'src/integrations/credential-record.ts',
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
        file: 'src/connect-links/state.ts',
        find: `    if (browserId === undefined) return { problem: 'other_browser' }
    if (!hash.matches(\`\${claim}.\${browserId}\`, mac)) return { problem: 'state_forged' }
`,
        replace: "    if (mac === browserId) return { problem: 'other_browser' }\n",
      },
    ],
    tests: [{ file: 'test/onboarding.test.ts', only: /callback|consent/ }],
  },
]
