import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Broker } from '../../../broker.ts'
import { SignInLinkSchema } from '../../../contract/console.ts'
import { beginAct } from '../../plugins/audit.ts'
import { callerOf } from '../../plugins/auth.ts'
import { COMMON_PROBLEMS, problems } from '../../problem-responses.ts'

/** Creates one-time links that sign in to the console. */
export const signInLinkRoutes: FastifyPluginAsyncTypebox<Broker> = async (
  app,
  { sessions, signInLinks, consoleUrl },
) => {
  app.post('/console-links', {
    schema: {
      operationId: 'createSignInLink',
      tags: ['console'],
      summary: 'Creates a link that signs the caller in to the console',
      description:
        'The link works once, for five minutes. Opening it shows a button; only the button uses it up.',
      response: { 201: SignInLinkSchema, ...problems(...COMMON_PROBLEMS) },
    },
    handler: async (request, reply) => {
      const identity = sessions.identityOfCaller(callerOf(request))
      const { token, expiresAt } = await signInLinks.create(identity, beginAct(request))
      const url = `${consoleUrl}/console/enter/${token.reveal()}`
      return reply.code(201).send({ url, expires_at: expiresAt.toISOString() })
    },
  })
}
