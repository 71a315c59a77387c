import formbody from '@fastify/formbody'
import type { FastifyInstance, FastifyReply } from 'fastify'
import Fastify, { LogController } from 'fastify'
import { api } from './api.ts'
import { consent } from './consent.ts'
import { control } from './control.ts'
import { exchangeApiKey } from './exchange-api-key.ts'
import { isLoopback } from './hosts.ts'
import type { SandboxOptions } from './options.ts'
import { probe } from './probe.ts'
import type { Answer } from './refusals.ts'
import { notFound, plainProblem } from './refusals.ts'
import { tokenEndpoint } from './token-endpoint.ts'
import type { World } from './world.ts'
import { createWorld } from './world.ts'

export interface Sandbox {
  app: FastifyInstance
  /** The state of the sandbox: `addIntegration`, `addAccount`, `grants`, `faults`, `books`, … */
  world: World
  /**
   * Listens and returns the origin, such as `http://127.0.0.1:3002`. Port 0 chooses a free port.
   */
  listen(address?: { port?: number; host?: string }): Promise<string>
  /** Closes open connections too, including silent ones. */
  close(): Promise<void>
}

/**
 * Builds the provider as docs/provider.md describes it, in memory, for the demo and tests.
 *
 * @throws when `callbackOrigin` is not a loopback origin
 * @example
 * const sandbox = await buildSandbox({ accounts: [{ platform: 'amocrm', subdomain: 'demo' }] })
 * const origin = await sandbox.listen({ port: 0 })
 */
export async function buildSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const world = createWorld(options)
  const app = Fastify({
    ...(options.logger === undefined ? {} : { loggerInstance: options.logger }),
    ...(options.https === undefined ? {} : { https: options.https }),
    // The default request log prints the URL, and with it the code.
    logController: new LogController({ disableRequestLogging: true }),
    forceCloseConnections: true,
    routerOptions: { ignoreDuplicateSlashes: true, ignoreTrailingSlash: true },
    ajv: { customOptions: { removeAdditional: false, coerceTypes: true } },
  })

  app.decorateRequest('sandboxArrivedAt', 0)
  app.addHook('onRequest', async (request) => {
    request.sandboxArrivedAt = world.settings.clock()
  })
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url
    request.log.debug({ method: request.method, route, status: reply.statusCode }, 'answered')
  })
  app.addHook('preClose', async () => world.end())
  app.setNotFoundHandler((_request, reply) => send(reply, notFound()))
  app.setErrorHandler(answerError)

  await app.register(formbody)
  await app.register(consent, { world })
  await app.register(tokenEndpoint, { world })
  await app.register(probe, { world })
  await app.register(exchangeApiKey, { world })
  await app.register(api, { world })
  await app.register(control, { prefix: '/__sandbox', world })
  app.get('/', async (request, reply) => {
    if (isLoopback(`http://${request.headers.host}`)) return reply.redirect('/__sandbox/', 302)
    return send(reply, notFound())
  })

  async function listen({ port = 0, host = '127.0.0.1' } = {}): Promise<string> {
    return app.listen({ port, host })
  }

  return { app, world, listen, close: () => app.close() }
}

function answerError(error: unknown, _request: unknown, reply: FastifyReply) {
  const { status, message } = describe(error)
  // The detail of a failure of the sandbox itself stays in the log.
  if (status >= 500) reply.log.error({ error: message }, 'request failed')
  const detail = status >= 500 ? 'The sandbox failed.' : message
  return send(
    reply,
    plainProblem(status, status >= 500 ? 'Internal Server Error' : 'Bad Request', detail),
  )
}

function describe(error: unknown): { status: number; message: string } {
  if (!(error instanceof Error)) return { status: 500, message: 'unknown' }
  const status =
    'statusCode' in error && typeof error.statusCode === 'number' ? error.statusCode : 500
  return { status, message: error.message }
}

function send(reply: FastifyReply, answer: Answer): FastifyReply {
  return reply.code(answer.status).type(answer.contentType).send(answer.body)
}
