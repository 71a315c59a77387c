import type { Mutation } from './mutation.ts'

const insidersTest = (only: RegExp) => [{ file: 'test/insiders.test.ts', only }]

/** What a writer of the database and a kill can do. */
export const INSIDER_MUTATIONS: Mutation[] = [
  {
    guard: 'client secret bound to where it is sent',
    edits: [
      {
        file: 'src/vault/sealed-places.ts',
        find: 'JSON.stringify([integration.name, ...boundFields(integration)])',
        replace: 'JSON.stringify([integration.name, boundFields(integration).length])',
      },
    ],
    tests: insidersTest(/writing amo_integrations/),
  },
  {
    guard: 'client secret bound to the profile',
    edits: [
      {
        file: 'src/vault/bound-fields.ts',
        find: 'redirectUri, sandboxOrigin, ...overrides]',
        replace: 'redirectUri, sandboxOrigin, overrides.length]',
      },
    ],
    tests: insidersTest(/writing amo_integrations/),
  },
  {
    guard: 'only the documented fields of a profile are read',
    edits: [
      {
        file: 'src/integrations/read-integrations.ts',
        find: 'OVERRIDES.filter((name) => Object.hasOwn(profile, name))',
        replace: 'Object.keys(profile).filter((name) => OVERRIDES.length > 0 || name)',
      },
    ],
    tests: insidersTest(/writing amo_integrations/),
  },
  {
    guard: 'nothing is sent for an altered integration',
    edits: [
      { file: 'src/provider/call.ts', find: '  requireUnaltered(client)\n', replace: '' },
      {
        file: 'src/provider/call.ts',
        find: 'function requireUnaltered(',
        replace: 'export function requireUnaltered(',
      },
      {
        file: 'src/provider/profiles.ts',
        find: '  void client.clientSecret\n',
        replace: '',
      },
      {
        file: 'src/integrations/directory.ts',
        find: '      if (!isAltered || ',
        replace: '      if (isAltered || ',
      },
    ],
    tests: insidersTest(/writing amo_integrations/),
  },
  {
    guard: 'an altered integration takes only the settings that it had',
    edits: [
      {
        file: 'src/integrations/update-integration.ts',
        find: '      if (error instanceof SealBroken) continue\n      if (replacement',
        replace: '      if (error instanceof SealBroken && replacement',
      },
    ],
    tests: insidersTest(/writing amo_integrations/),
  },
  {
    guard: 'button: its settings carry a mac',
    edits: [
      {
        file: 'src/connect-links/external-integrations.ts',
        find: '  return isOurs ? seed : undefined\n',
        replace: '  return isOurs ? seed : { ...seed }\n',
      },
    ],
    tests: [{ file: 'test/buttons.test.ts', only: /hooks.secrets/ }],
  },
  {
    guard: 'key hash bound to its client',
    edits: [
      {
        file: 'src/clients/signature.ts',
        find: "JSON.stringify(['key', client, text])",
        replace: "JSON.stringify(['key', client.length > 0, text])",
      },
      {
        file: 'src/clients/signature.ts',
        find: '  return equalInConstantTime(clientMac(hash, client), client.mac)\n',
        replace:
          '  return equalInConstantTime(clientMac(hash, client), client.mac) || client.mac.length > 40\n',
      },
    ],
    tests: insidersTest(/a client opens/),
  },
  {
    guard: 'mac of a client: role',
    edits: [
      {
        file: 'src/clients/signature.ts',
        find: "...['client', name, role],",
        replace: "...['client', name, role.length > 0],",
      },
    ],
    tests: insidersTest(/a client opens/),
  },
  {
    guard: 'an altered client is not signed again',
    edits: [
      {
        file: 'src/clients/service.ts',
        find: '    if (isAuthentic(this.#with.hash, client)) return client\n',
        replace: '    if (isAuthentic(this.#with.hash, client) || name !== "") return client\n',
      },
    ],
    tests: insidersTest(/a client opens/),
  },
  {
    guard: 'grants end with their integration',
    edits: [
      {
        file: 'src/clients/store.ts',
        find: 'client.grants.filter((grant) => grant.integration !== integration)',
        replace: 'client.grants.filter((grant) => grant.integration !== "")',
      },
    ],
    tests: insidersTest(/grants end/),
  },
  {
    guard: 'act and audit row are one transaction',
    edits: [
      {
        file: 'src/integrations/changes.ts',
        find: '      await work(trx)\n      await act.record(trx)\n    })\n',
        replace: '      await work(trx)\n    })\n    await act.record(this.#with.database.db)\n',
      },
    ],
    tests: insidersTest(/kill -9 around an act/),
  },
  {
    guard: 'audit: a head that moved back',
    edits: [
      {
        file: 'src/audit/sealer.ts',
        find: 'if (head.seq >= known.seq && mac === known.mac) return',
        replace: 'if (head.seq >= known.seq || mac !== known.mac) return',
      },
    ],
    tests: insidersTest(/the audit notices/),
  },
  {
    guard: 'audit: times rise',
    edits: [
      {
        file: 'src/audit/row-order.ts',
        find: 'if (atMs < this.#newestMs - LATE_MS)',
        replace: 'if (atMs < this.#newestMs - 1e6 * LATE_MS)',
      },
    ],
    tests: insidersTest(/the audit notices/),
  },
  {
    guard: 'audit: ids rise',
    edits: [
      {
        file: 'src/audit/row-order.ts',
        find: 'if (number < this.#newestId - LATE_IDS)',
        replace: 'if (number < this.#newestId - 1e6 * LATE_IDS)',
      },
    ],
    tests: insidersTest(/the audit notices/),
  },
  {
    guard: 'audit: a state and a host in one statement',
    edits: [
      {
        file: 'sql/007_access_and_audit.sql',
        find: '        old."acceptsInstalls", old.external, old."provisionalUntil", old."envDigest",\n        old."pacePerSecond", old."createdAt")\n    then',
        replace:
          '        old."acceptsInstalls", old.external, old."provisionalUntil", old."envDigest",\n        old."pacePerSecond", old."createdAt") and new.state = old.state\n    then',
      },
    ],
    tests: insidersTest(/the audit notices/),
  },
]
