import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { toJson } from '../accounts/schemas.ts'
import { findAccount } from '../accounts/store.ts'
import { requireOperator } from '../clients/caller.ts'
import type { Database } from '../db/database.ts'
import { BrokerError } from '../errors.ts'
import { auditing } from '../plugins/audit.ts'
import { callerOf } from '../plugins/auth.ts'
import { readInstant } from '../plugins/instant.ts'
import { problems } from '../plugins/problems.ts'
import { Secret } from '../vault/secret.ts'
import { type ImportDependencies, importAccount } from './import.ts'
import { DomainField, IntegrationField } from './schemas.ts'

const Token = Type.String({ minLength: 10, maxLength: 8192, pattern: '^[\\x21-\\x7e]+$' })
const GENERATION = '^(?:W/)?"?[0-9]{1,15}"?$'

export interface ImportRoutesOptions {
  importer: ImportDependencies
  database: Database
}

/** An operator brings a pair that exists: the Kommo guide's step 4, a service that moves here, a long-lived token. */
export const importRoutes: FastifyPluginAsyncTypebox<ImportRoutesOptions> = async (
  app,
  { importer, database },
) => {
  app.post('/accounts/import', {
    schema: {
      operationId: 'importAccount',
      tags: ['onboarding'],
      summary: 'Takes over an existing token pair, or a long-lived token',
      description:
        'The provider is asked whose it is and whether it lives, which spends nothing. Another pair is replaced only with If-Match.',
      headers: Type.Object({
        'if-match': Type.Optional(
          Type.String({ pattern: GENERATION, description: 'generation of the pair to replace' }),
        ),
      }),
      body: Type.Object(
        {
          integration: IntegrationField,
          domain: DomainField,
          access_token: Token,
          refresh_token: Type.Optional({ ...Token, description: 'none: a long-lived token' }),
          expires_at: Type.Optional(
            Type.String({ format: 'date-time', description: 'where the token does not say it' }),
          ),
          shadow: Type.Optional(
            Type.Boolean({
              default: false,
              description: 'serve it and do not rotate it, while another service still does',
            }),
          ),
        },
        { additionalProperties: false },
      ),
      response: {
        200: Type.Ref('Account'),
        201: Type.Ref('Account'),
        ...problems(
          'bad_request',
          'unauthorized',
          'forbidden',
          'too_many_requests',
          'integration_not_found',
          'account_exists',
          'generation_moved',
          'import_refused',
          'provider_unavailable',
          'key_missing',
          'storage_unavailable',
          'internal_error',
        ),
      },
    },
    handler: async (request, reply) => {
      requireOperator(callerOf(request), 'import accounts')
      const { body } = request
      const ifMatch = request.headers['if-match']
      const { key, result } = await importAccount(importer, {
        integration: body.integration,
        domain: body.domain.toLowerCase(),
        accessToken: new Secret(body.access_token),
        refreshToken: body.refresh_token === undefined ? undefined : new Secret(body.refresh_token),
        expiresAt: readInstant('expires_at', body.expires_at),
        shadow: body.shadow ?? false,
        ifGeneration: ifMatch === undefined ? undefined : Number(ifMatch.replace(/\D/g, '')),
      })
      auditing(request, { account: key, outcome: result })
      const account = await findAccount(database.db, key)
      if (account === undefined) throw new BrokerError('account_not_found', 'It was removed.')
      return reply.code(result === 'created' ? 201 : 200).send(toJson(account))
    },
  })
}
