import { randomBytes } from 'node:crypto'
import type { Server } from 'node:http'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import fastify, { type FastifyHttpOptions, type FastifyInstance, LogController } from 'fastify'
import type { Logger } from 'pino'
import { accountRoutes } from './accounts/routes.ts'
import { AccountSchema } from './accounts/schemas.ts'
import { auditRoutes } from './audit/routes.ts'
import type { Broker } from './broker.ts'
import { clientRoutes } from './clients/routes.ts'
import type { InternalTls, TrustProxy } from './config-listeners.ts'
import { BrokerError } from './errors.ts'
import { livenessRoutes, readinessRoutes } from './health/routes.ts'
import { editRoutes } from './integrations/edit-routes.ts'
import { integrationRoutes } from './integrations/routes.ts'
import { IntegrationSchema } from './integrations/schemas.ts'
import { clientSecretRoutes } from './integrations/secret-routes.ts'
import { metricsRoutes } from './metrics/routes.ts'
import { buttonRoutes } from './onboarding/button-routes.ts'
import { disconnectRoutes } from './onboarding/disconnect-routes.ts'
import { exchangeRoutes } from './onboarding/exchange-routes.ts'
import { importRoutes } from './onboarding/import-routes.ts'
import { connectLinkRoutes } from './onboarding/link-routes.ts'
import { onboardingOperatorRoutes } from './onboarding/operator-routes.ts'
import { onboardingRoutes } from './onboarding/routes.ts'
import { secretsRoutes } from './onboarding/secrets-routes.ts'
import { isServerCall } from './onboarding/server-calls.ts'
import { addressLimitPlugin } from './plugins/address-limit.ts'
import { auditPlugin } from './plugins/audit.ts'
import { authPlugin } from './plugins/auth.ts'
import { docsRoutes, openapiPlugin } from './plugins/docs.ts'
import { makeGuessLimit } from './plugins/guess-limit.ts'
import { lazySerializers } from './plugins/lazy-serializers.ts'
import { answerClientError, problemsPlugin, sendProblem } from './plugins/problems.ts'
import { requestLogPlugin } from './plugins/request-log.ts'
import { securityHeadersPlugin } from './plugins/security-headers.ts'
import { tokenRoutes } from './tokens/routes.ts'
import type { Secret } from './vault/secret.ts'

const BODY_LIMIT_BYTES = 64 * 1024
/** Slow clients: to send a whole request, its head included, and to be quiet on a connection. */
const REQUEST_TIMEOUT_MS = 10_000
const CONNECTION_TIMEOUT_MS = 60_000
/** How often Node looks for them; by itself only twice a minute. */
const LOOK_INTERVAL_MS = 2_000
const MAX_PARAM_LENGTH = 300
const START_ID_BYTES = 8
const RADIX = 36

export interface AppOptions {
  broker: Broker
  log: Logger
  operatorKey: Secret
  /** Of the public listener. Whoever reaches the internal one is taken for what its own address is. */
  trustProxy: TrustProxy
  internalTls: InternalTls | null
}

/** For the company's own services, operators and monitoring. */
export async function buildInternalApp(options: AppOptions): Promise<FastifyInstance> {
  const { broker, operatorKey } = options
  const app = await baseApp(
    { ...options, trustProxy: false },
    { title: 'amo token broker, internal', isInternal: true },
  )
  await app.register(livenessRoutes)
  await app.register(readinessRoutes, { health: broker.health })
  await app.register(metricsRoutes, { registry: broker.metrics })
  await app.register(docsRoutes, { path: '/docs' })
  const guesses = await makeGuessLimit(app, broker.redis, broker.deploymentId)
  await app.register(async (guarded) => {
    refuseUntilReady(guarded, broker)
    guarded.addSchema(AccountSchema)
    guarded.addSchema(IntegrationSchema)
    await guarded.register(authPlugin, { operatorKey, directory: broker.directory, guesses })
    await guarded.register(auditPlugin, { audit: broker.audit })
    await guarded.register(tokenRoutes, broker)
    await guarded.register(accountRoutes, broker)
    await guarded.register(onboardingOperatorRoutes, broker)
    await guarded.register(exchangeRoutes, broker)
    await guarded.register(buttonRoutes, broker)
    await guarded.register(importRoutes, { importer: broker.importer, database: broker.database })
    await guarded.register(integrationRoutes, broker)
    await guarded.register(editRoutes, broker)
    await guarded.register(connectLinkRoutes, broker)
    await guarded.register(clientRoutes, { clients: broker.clients })
    await guarded.register(auditRoutes, { database: broker.database })
    await guarded.register(clientSecretRoutes, { integrations: broker.integrations })
  })
  return app
}

/** For browsers and the provider's servers: all that an ingress exposes. */
export async function buildPublicApp(options: AppOptions): Promise<FastifyInstance> {
  const { broker } = options
  const app = await baseApp(
    { ...options, internalTls: null },
    { title: 'amo token broker, public', isInternal: false },
  )
  await app.register(livenessRoutes)
  await app.register(async (open) => {
    await open.register(addressLimitPlugin, broker)
    refuseUntilReady(open, broker)
    await open.register(disconnectRoutes, { hooks: broker.disconnects })
    await open.register(secretsRoutes, broker)
    await open.register(onboardingRoutes, broker)
  })
  return app
}

async function baseApp(
  { log, trustProxy, internalTls }: AppOptions,
  docs: { title: string; isInternal: boolean },
): Promise<FastifyInstance> {
  const limits = {
    headersTimeout: REQUEST_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: LOOK_INTERVAL_MS,
  }
  const server: FastifyHttpOptions<Server> = {
    http: limits,
    loggerInstance: log,
    trustProxy: typeof trustProxy === 'number' ? (_address, hop) => hop < trustProxy : trustProxy,
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    // Its lines carry the URL, which may carry a code.
    logController: new LogController({ disableRequestLogging: true }),
    // Who logs about a request names it: a logger for every request would cost more than a token does.
    childLoggerFactory: (logger) => logger,
    genReqId: makeRequestIds(),
    return503OnClosing: false,
    // A domain may be as long as 253 characters; the schemas judge the rest.
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    clientErrorHandler: answerClientError,
    // A URL that cannot be parsed never reaches the error handler.
    frameworkErrors: (_error, request, reply) =>
      sendProblem(request, reply, new BrokerError('bad_request', 'The URL cannot be read.')),
    schemaController: { compilersFactory: { buildSerializer: lazySerializers() } },
    // Strict numbers would exempt `?before=1e999`, which is Infinity by then, from the maximum that every number has.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: true, strictNumbers: false } },
  }
  if (internalTls !== null)
    Object.assign(server, { https: { ...limits, ...httpsOptions(internalTls) } })
  const app = fastify(server).withTypeProvider<TypeBoxTypeProvider>()
  await app.register(requestLogPlugin, { log })
  await app.register(securityHeadersPlugin)
  await app.register(problemsPlugin)
  await app.register(openapiPlugin, docs)
  return app
}

/** Unique to this start and the request; a UUID for each would cost as much as finding a token does. */
function makeRequestIds(): () => string {
  const start = randomBytes(START_ID_BYTES).toString('hex')
  let requests = 0
  return () => `${start}-${(requests++).toString(RADIX)}`
}

function httpsOptions({ cert, key, clientCa }: InternalTls) {
  const asksClients = { ca: clientCa, requestCert: true, rejectUnauthorized: true }
  return {
    cert,
    key: key.reveal(),
    ...(clientCa === null ? {} : asksClients),
  }
}

function refuseUntilReady(app: FastifyInstance, broker: Broker): void {
  app.addHook('onRequest', (request, reply, done) => {
    const { phase } = broker.health
    if (phase === 'ready') return done()
    // It is not made again: it is kept until the broker is ready.
    if (request.routeOptions.url === '/*' && isServerCall(request.query)) return done()
    // Whoever keeps this connection makes the next one with a replica that stays.
    if (phase === 'draining') return done(void reply.raw.setHeader('connection', 'close'))
    const detail = `The broker is ${phase}.`
    return done(new BrokerError('storage_unavailable', detail, { retryAfterSeconds: 1 }))
  })
}
