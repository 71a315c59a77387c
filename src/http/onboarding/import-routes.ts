import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { ImportBody, ImportHeaders } from '../../contract/accounts.ts'
import type { Database } from '../../db/database.ts'
import { Type } from '../../lib/type.ts'
import { type ImportDependencies, importAccount } from '../../onboarding/import.ts'
import { Secret } from '../../vault/secret.ts'
import { showAccount } from '../accounts/named-account.ts'
import { readInstant } from '../instant.ts'
import { auditing, beginAct } from '../plugins/audit.ts'
import { COMMON_PROBLEMS, problems } from '../problem-responses.ts'

interface ImportRoutesOptions {
  importer: ImportDependencies
  database: Database
}

/**
 * Imports an existing pair: step 4 of the Kommo guide, a migration from another service, or a
 * long-lived token.
 */
export const importRoutes: FastifyPluginAsyncTypebox<ImportRoutesOptions> = async (
  app,
  { importer, database },
) => {
  app.post('/accounts/import', {
    schema: {
      operationId: 'importAccount',
      tags: ['onboarding'],
      summary: 'Imports an existing token pair, or a long-lived token',
      description:
        'The provider is asked which account the pair belongs to and whether it lives, which does not spend it. A stored pair is replaced only with If-Match.',
      headers: ImportHeaders,
      body: ImportBody,
      response: {
        200: Type.Ref('Account'),
        201: Type.Ref('Account'),
        ...problems(
          ...COMMON_PROBLEMS,
          'integration_not_found',
          'account_exists',
          'generation_moved',
          'import_refused',
          'provider_unavailable',
          'key_missing',
        ),
      },
    },
    handler: async (request, reply) => {
      const { body } = request
      const ifMatch = request.headers['if-match']
      const order = {
        integration: body.integration,
        domain: body.domain.toLowerCase(),
        accessToken: new Secret(body.access_token),
        refreshToken: body.refresh_token === undefined ? undefined : new Secret(body.refresh_token),
        expiresAt: readInstant('expires_at', body.expires_at),
        shadow: body.shadow ?? false,
        ifGeneration: ifMatch === undefined ? undefined : Number(ifMatch.replace(/\D/g, '')),
      }
      const { key, result } = await importAccount(importer, order, beginAct(request))
      auditing(request, { account: key, outcome: result })
      return reply.code(result === 'created' ? 201 : 200).send(await showAccount(database, key))
    },
  })
}
