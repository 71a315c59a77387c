import type { Mutation } from './mutation.ts'

/** What a local user, a cache and a network can do. */
export const MACHINE_MUTATIONS: Mutation[] = [
  {
    guard: 'token responses are not cached',
    edits: [
      {
        file: 'src/http/plugins/security-headers.ts',
        find: "  'cache-control': 'no-store',\n  vary",
        replace: "  'cache-control': 'public, max-age=3600',\n  vary",
      },
    ],
    tests: [{ file: 'test/http-cache.test.ts' }],
  },
  {
    guard: 'embedded storage is closed to others',
    edits: [
      {
        file: 'src/db/embedded.ts',
        find: '    if ((mode & ANYONE_ELSE) === 0) continue\n',
        replace: '    if ((mode & ANYONE_ELSE) >= 0) continue\n',
      },
    ],
    tests: [{ file: 'test/embedded.test.ts', only: /mode 0755/ }],
  },
  {
    guard: 'encryption keys are random',
    edits: [
      {
        file: 'src/vault/key-ring.ts',
        find: 'if (new Set(key).size < MIN_DIFFERENT_BYTES)',
        replace: 'if (new Set(key).size < MIN_DIFFERENT_BYTES / 12)',
      },
    ],
    tests: [{ file: 'test/config.test.ts', only: /ENCRYPTION_KEYS/ }],
  },
  {
    guard: 'operator key is random',
    edits: [
      {
        file: 'src/config/checks.ts',
        find: '.size < MIN_DIFFERENT_CHARACTERS)',
        replace: '.size < MIN_DIFFERENT_CHARACTERS / 8)',
      },
    ],
    tests: [{ file: 'test/config.test.ts', only: /not random/ }],
  },
  {
    guard: 'certificates are checked',
    edits: [
      {
        file: 'src/config/checks.ts',
        find: "if (variables.NODE_TLS_REJECT_UNAUTHORIZED !== '0') return",
        replace: "if (variables.NODE_TLS_REJECT_UNAUTHORIZED !== '') return",
      },
    ],
    tests: [{ file: 'test/config.test.ts', only: /REJECT_UNAUTHORIZED/ }],
  },
  {
    guard: 'a key that was just added is not called unused',
    edits: [
      {
        file: 'src/cli/database/reseal-everything.ts',
        find: "used.has(key_id) ? 'unused' : 'new'",
        replace: "used.size > 0 ? 'unused' : 'new'",
      },
    ],
    tests: [{ file: 'test/keys.test.ts', only: /just added/ }],
  },
]
