import type { Static } from 'typebox'
import { Type } from '../lib/type.ts'
import { builtInIntegrationSettings } from './integration-settings.ts'

const port = (value: number, description: string) =>
  Type.Integer({ minimum: 0, maximum: 65_535, default: value, description })
const optional = (description: string) => Type.String({ default: '', description })
const milliseconds = (value: number, minimum: number, description: string) =>
  Type.Integer({ minimum, maximum: 3_600_000, default: value, description })

/** Every setting with its default and its meaning. A test compares them with `.env.example`. */
export const settings = Type.Object({
  DATABASE_URL: optional('PostgreSQL 14 or newer; empty: embedded storage in DATA_DIR'),
  DATABASE_DIRECT_URL: optional(
    'PostgreSQL without a transaction pooler, for LISTEN and migrations; empty: DATABASE_URL',
  ),
  REDIS_URL: optional(
    'Redis: saves work among replicas; empty: replicas coordinate through PostgreSQL only',
  ),
  ESCROW_URL: optional(
    'second place for every pair, outside of the database: file:///directory, postgres://… or s3://bucket/prefix; empty: none',
  ),
  DATA_DIR: Type.String({
    default: './data',
    description: 'survives a restart: embedded storage, spool, operator key',
  }),
  DEPLOYMENT_ID: optional('name of this deployment; the database is bound to it at first start'),
  INTERNAL_HOST: Type.String({
    default: '127.0.0.1',
    description: 'address of the internal listener',
  }),
  INTERNAL_PORT: port(3000, 'port of the internal listener: tokens, accounts, docs, health'),
  PUBLIC_HOST: Type.String({ default: '127.0.0.1', description: 'address of the public listener' }),
  PUBLIC_PORT: port(3001, 'port of the public listener: callbacks and connect links'),
  PUBLIC_URL: optional(
    'origin of the public listener as browsers see it; empty: that of the redirect URIs',
  ),
  BRAND_NAME: Type.String({
    default: '',
    maxLength: 80,
    description: 'company that the pages for account owners name; empty: none',
  }),
  TRUST_PROXY: Type.String({
    default: 'false',
    description:
      'public listener: read client addresses from X-Forwarded-For of these proxies: true (one), their number, or their addresses',
  }),
  CONSOLE_URL: optional(
    'origin of the console as browsers see it; empty: the internal listener on this machine',
  ),
  OIDC_ISSUER: optional(
    'OpenID Connect provider through which people sign in to the console; empty: keys only',
  ),
  OIDC_CLIENT_ID: optional('client id of the console at that provider'),
  OIDC_CLIENT_SECRET: optional('client secret of the console at that provider'),
  OIDC_ROLE_CLAIM: Type.String({
    default: 'roles',
    description: 'claim of the ID token that contains operator or monitor',
  }),
  INTERNAL_TLS_CERT: optional('internal listener with https: file with its certificates, PEM'),
  INTERNAL_TLS_KEY: optional('internal listener with https: file with its private key, PEM'),
  INTERNAL_TLS_CLIENT_CA: optional(
    'require client certificates that this authority signed: file, PEM',
  ),
  ENCRYPTION_KEYS: optional(
    'id:base64[,id:base64…]: the first seals, all open; amo-broker keygen makes one',
  ),
  OPERATOR_KEY: optional(
    'key of the internal API; empty in embedded mode: made once in DATA_DIR/operator.key',
  ),
  ...builtInIntegrationSettings,
  SEND_LIMIT_MS: milliseconds(30_000, 100, 'how long a refresh waits for its response'),
  LINGER_MS: milliseconds(300_000, 100, 'how long a late response is still read afterwards'),
  SETTLE_MS: milliseconds(
    60_000,
    0,
    'wait after a send whose result is unclear, before the token is probed',
  ),
  READ_WAIT_MS: milliseconds(1_500, 0, 'how long a read waits for a refresh'),
  MIN_REST_MS: milliseconds(
    5_000,
    0,
    'no token is handed out with less left, or with less than a tenth of its life if that is shorter',
  ),
  START_LIMIT_MS: milliseconds(
    60_000,
    0,
    'how long a start waits while PostgreSQL refuses the login or has no such database',
  ),
  HEARTBEAT_MS: milliseconds(3_000, 500, 'how long the cache is trusted without an echo of LISTEN'),
  CACHE_ACCOUNTS: Type.Integer({
    minimum: 0,
    maximum: 1_000_000,
    default: 10_000,
    description: 'accounts whose tokens are cached in memory, about 4 KB each; 0: none',
  }),
  DRAIN_MS: milliseconds(
    0,
    0,
    'how long requests are still served after SIGTERM, so that load balancers notice',
  ),
  AUDIT_DAYS: Type.Integer({
    minimum: 1,
    maximum: 36_500,
    default: 400,
    description: 'days that audit records are kept',
  }),
  ATTEMPT_DAYS: Type.Integer({
    minimum: 1,
    maximum: 36_500,
    default: 30,
    description: 'days that finished refresh attempts are kept, with their steps',
  }),
  EVENT_DAYS: Type.Integer({
    minimum: 7,
    maximum: 36_500,
    default: 90,
    description: 'days that events and their deliveries are kept',
  }),
  CHECK_INTERVAL_MINUTES: Type.Integer({
    minimum: 0,
    maximum: 43_200,
    default: 60,
    description: 'how often the access tokens of accounts in use are checked; 0: never',
  }),
  PACE_PER_SECOND: Type.Number({
    exclusiveMinimum: 0,
    maximum: 1_000,
    default: 2,
    description: 'refreshes per second of each integration',
  }),
  ENDPOINTS_ALLOW_PRIVATE: Type.Boolean({
    default: false,
    description: 'endpoints of events may be at addresses of private networks, also with http',
  }),
  HOLD_SENDS: Type.Boolean({
    default: false,
    description: 'claim and send nothing, serve existing tokens (npm start -- --hold)',
  }),
  BREAKER_MS: milliseconds(
    30_000,
    100,
    'how long sends to a failing platform stop the first time; doubles each time, up to 20 times as long',
  ),
  SANDBOX_PORT: port(3002, 'port of the sandbox provider (npm run sandbox, npm run demo)'),
  LOG_LEVEL: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
    default: 'info',
    description: 'pino level',
  }),
})

export type Settings = Static<typeof settings>
