import type { Mutation, TestFile } from './mutation.ts'

const strangersTest = (only: RegExp): TestFile[] => [{ file: 'test/strangers.test.ts', only }]
const waysTest = (only: RegExp): TestFile[] => [{ file: 'test/accounts.test.ts', only }]

/** What people outside cannot do with codes, pages and redirect URIs. */
export const ONBOARDING_MUTATIONS: Mutation[] = [
  {
    guard: 'three refused codes per link and browser',
    edits: [
      {
        file: 'src/onboarding/code-limit.ts',
        find: '  return ofBrowser >= MAX_REFUSED_PER_BROWSER || ofLink >= MAX_REFUSED_PER_LINK\n',
        replace: '  return ofBrowser > 1_000 || ofLink >= MAX_REFUSED_PER_LINK\n',
      },
    ],
    tests: strangersTest(/60 made-up codes/),
  },
  {
    guard: 'twenty refused codes per link',
    edits: [
      {
        file: 'src/onboarding/code-limit.ts',
        find: '  return ofBrowser >= MAX_REFUSED_PER_BROWSER || ofLink >= MAX_REFUSED_PER_LINK\n',
        replace: '  return ofBrowser >= MAX_REFUSED_PER_BROWSER || ofLink > 1_000\n',
      },
    ],
    tests: strangersTest(/60 made-up codes/),
  },
  {
    guard: 'codes of one link are counted one after the other',
    edits: [
      {
        file: 'src/onboarding/receive-callback.ts',
        find: `    await sql\`select pg_advisory_xact_lock(hashtextextended(\${linkId}, 1))\`.execute(trx)\n`,
        replace: '',
      },
    ],
    tests: strangersTest(/60 made-up codes/),
  },
  {
    guard: 'codes are paid from the pace',
    edits: [
      {
        file: 'src/onboarding/finish-onboarding.ts',
        find: "  const isPaid = waiting.origin === 'install' || !isCode\n",
        replace: '  const isPaid = isCode || !isCode\n',
      },
    ],
    tests: strangersTest(/reserved tenth/),
  },
  {
    guard: 'a reserved tenth of the pace for codes',
    edits: [
      {
        file: 'src/claims/pace.ts',
        find: `  const isReserved = sql\`\${by === 'person'} and \${codeTokens} >= 1\`\n`,
        replace: `  const isReserved = sql\`\${by === 'person'} and \${codeTokens} >= 1e9\`\n`,
      },
    ],
    tests: strangersTest(/reserved tenth/),
  },
  {
    guard: 'pages of outcomes need a mark',
    edits: [
      {
        file: 'src/http/onboarding/page-routes.ts',
        find: '      if (!onboarding.pageMarks.isOfProblem(mark, code, link)) return reply.callNotFound()\n',
        replace:
          "      if (!onboarding.pageMarks.isOfProblem(mark, code, link) && code === 'x') return reply.callNotFound()\n",
      },
    ],
    tests: strangersTest(/what a stranger/),
  },
  {
    guard: 'the mark belongs to one outcome and link',
    edits: [
      {
        file: 'src/onboarding/page-marks.ts',
        find: `    return this.#states.of(\`problem.\${code}.\${linkId ?? ''}\`)\n`,
        replace: `    return this.#states.of(\`problem.\${code ? '' : linkId}\`)\n`,
      },
    ],
    tests: strangersTest(/what a stranger/),
  },
  {
    guard: 'a refused code is no evidence about the client',
    edits: [
      {
        file: 'src/onboarding/exchange-code.ts',
        find: "  if (isOfClient && origin === 'exchange')",
        replace: "  if (isOfClient && origin !== 'install')",
      },
    ],
    tests: strangersTest(/what a stranger/),
  },
  {
    guard: 'only an accepted secret moves a host',
    edits: [
      {
        file: 'src/integrations/edit.ts',
        find: '  const proof = known.provenSecret ?? (hasAccounts ? null : known.clientSecret)\n',
        replace:
          '  const proof = hasAccounts ? known.clientSecret : (known.provenSecret ?? known.clientSecret)\n',
      },
    ],
    tests: waysTest(/integrations: operators/),
  },
  {
    guard: 'redirect_uri is no free text',
    edits: [
      {
        file: 'src/integrations/edit.ts',
        find: "  if (redirect !== undefined && redirect !== '{redirect_uri}') {\n",
        replace: "  if (redirect !== undefined && redirect === '') {\n",
      },
    ],
    tests: waysTest(/integrations: operators/),
  },
  {
    guard: 'a sandbox of the API is not in a private network',
    edits: [
      {
        file: 'src/integrations/check-urls.ts',
        find: '  if (addresses.every((address) => isSandboxAddress(address, false))) return\n',
        replace: '  if (addresses.every((address) => isSandboxAddress(address, true))) return\n',
      },
    ],
    tests: waysTest(/integrations: operators/),
  },
]
