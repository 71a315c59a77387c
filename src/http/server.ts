import type { Server } from 'node:http'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import fastify, { type FastifyHttpOptions, type FastifyInstance, LogController } from 'fastify'
import type { Logger } from 'pino'
import type { Broker } from '../broker.ts'
import type { InternalTls, TrustProxy } from '../config/listeners.ts'
import { BrokerError } from '../lib/errors.ts'
import { UNROUTED } from '../monitoring/request-metrics.ts'
import type { Secret } from '../vault/secret.ts'
import { isServerCall } from './onboarding/server-calls.ts'
import { bodiesPlugin } from './plugins/bodies.ts'
import { requireClientCertificates } from './plugins/client-certificates.ts'
import { openapiPlugin } from './plugins/docs.ts'
import { lazySerializers, lazyValidators } from './plugins/lazy-compilers.ts'
import { answerClientError, problemsPlugin, sendProblem } from './plugins/problems.ts'
import type { SharedCount } from './plugins/rate-limit.ts'
import { createRequestIds, requestIdPlugin } from './plugins/request-id.ts'
import { requestLogPlugin } from './plugins/request-log.ts'
import { requestMetricsPlugin } from './plugins/request-metrics.ts'
import { securityHeadersPlugin } from './plugins/security-headers.ts'

const BODY_LIMIT_BYTES = 64 * 1024
/** Limits of slow clients: for a whole request with its head, and for a silent connection. */
const REQUEST_TIMEOUT_MS = 10_000
const CONNECTION_TIMEOUT_MS = 60_000
/** How often Node looks for slow clients. Its default is twice a minute. */
const CHECK_INTERVAL_MS = 2_000
/** A domain has up to 253 characters; the schemas check the rest. */
const MAX_PARAM_LENGTH = 300

const VALIDATION = {
  removeAdditional: false,
  coerceTypes: true,
  // With strict numbers, `?before=1e999` is Infinity and passes the maximum that every number has.
  strictNumbers: false,
  // Compiling the schema of schemas would take a tenth of a start's processor time. Our builder
  // makes valid schemas, and Ajv still refuses unknown keywords.
  meta: false,
  validateSchema: false,
}

/** Options of both listeners. */
export interface AppOptions {
  broker: Broker
  log: Logger
  operatorKey: Secret
  /** For the public listener. The internal one uses the address of the connection. */
  trustProxy: TrustProxy
  internalTls: InternalTls | null
  /** Company that the public pages name, or null. */
  brandName: string | null
}

/**
 * Creates the Fastify instance of a listener: limits, log, security headers, problem documents, API
 * description.
 */
export async function createApp(
  { broker, log, trustProxy, internalTls }: AppOptions,
  docs: { isInternal: boolean },
): Promise<FastifyInstance> {
  const listener = docs.isInternal ? 'internal' : 'public'
  const { requests } = broker.monitoring
  const countUnreadable = () => requests.observe({ listener, ...UNROUTED }, 400, 0)
  const app = fastify(
    serverOptions({ log, trustProxy, internalTls }, countUnreadable),
  ).withTypeProvider<TypeBoxTypeProvider>()
  await app.register(requestIdPlugin)
  await app.register(requestLogPlugin, { log })
  await app.register(requestMetricsPlugin, { requests, listener })
  if (internalTls !== null && internalTls.clientCa !== null) requireClientCertificates(app)
  await app.register(securityHeadersPlugin)
  await app.register(problemsPlugin, docs)
  await app.register(bodiesPlugin)
  await app.register(openapiPlugin, docs)
  return app
}

/**
 * Answers 503 to the requests of a scope until the broker is ready, and lets clients go while it
 * drains.
 */
export function refuseUntilReady(app: FastifyInstance, { health }: Broker): void {
  app.addHook('onRequest', (request, reply, done) => {
    const { phase } = health
    if (phase === 'ready') return done()
    // The provider's server does not repeat its call, so the call is stored until the broker is
    // ready.
    if (request.routeOptions.url === '/*' && isServerCall(request.query)) return done()
    // Asks keep-alive clients to reconnect, so that their next request reaches a replica that is
    // not draining.
    if (phase === 'draining') return done(void reply.raw.setHeader('connection', 'close'))
    const detail = `The broker is ${phase}.`
    return done(new BrokerError('storage_unavailable', detail, { retryAfterSeconds: 1 }))
  })
}

/** Returns where the replicas count together, or null without Redis. */
export function sharedCount(
  { redis, deploymentId }: Broker,
  purpose: 'guesses' | 'requests',
): SharedCount | null {
  return redis === null ? null : { redis, nameSpace: `amo:${deploymentId}:${purpose}:` }
}

/** @param countUnreadable counts a request that no hook sees */
function serverOptions(
  { log, trustProxy, internalTls }: Pick<AppOptions, 'log' | 'trustProxy' | 'internalTls'>,
  countUnreadable: () => void,
): FastifyHttpOptions<Server> {
  const limits = {
    headersTimeout: REQUEST_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
  }
  const options: FastifyHttpOptions<Server> = {
    http: limits,
    loggerInstance: log,
    trustProxy: typeof trustProxy === 'number' ? (_address, hop) => hop < trustProxy : trustProxy,
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    // Fastify's own lines contain the URL, which may contain a code.
    logController: new LogController({ disableRequestLogging: true }),
    // A logger per request would cost more than a token does. `requestFields` adds the id instead.
    childLoggerFactory: (logger) => logger,
    genReqId: createRequestIds(),
    return503OnClosing: false,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    clientErrorHandler(error, socket) {
      if (answerClientError(error, socket)) countUnreadable()
    },
    // A URL that cannot be parsed does not reach the error handler.
    frameworkErrors(_error, request, reply) {
      countUnreadable()
      sendProblem(request, reply, new BrokerError('bad_request', 'The URL cannot be read.'))
    },
    schemaController: {
      compilersFactory: { buildSerializer: lazySerializers(), buildValidator: lazyValidators() },
    },
    ajv: { customOptions: VALIDATION },
  }
  if (internalTls !== null)
    Object.assign(options, { https: { ...limits, ...httpsOptions(internalTls) } })
  return options
}

function httpsOptions({ cert, key, clientCa }: InternalTls) {
  // `requireClientCertificates` refuses those without one, so that probes can connect.
  const clientCertificates = { ca: clientCa, requestCert: true, rejectUnauthorized: false }
  return { cert, key: key.reveal(), ...(clientCa === null ? {} : clientCertificates) }
}
