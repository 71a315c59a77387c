import { type Static, Type } from 'typebox'

const port = (value: number, description: string) =>
  Type.Integer({ minimum: 0, maximum: 65_535, default: value, description })
const optional = (description: string) => Type.String({ default: '', description })
const milliseconds = (value: number, minimum: number, description: string) =>
  Type.Integer({ minimum, maximum: 3_600_000, default: value, description })

/** Every setting: its default and its meaning. `.env.example` lists the same ones (a test compares). */
export const settings = Type.Object({
  DATABASE_URL: optional('PostgreSQL 14 or newer; empty: embedded storage in DATA_DIR'),
  DATABASE_DIRECT_URL: optional(
    'PostgreSQL without a transaction pooler, for LISTEN and migrations',
  ),
  REDIS_URL: optional('Redis: saves work among replicas; empty: locks in PostgreSQL alone'),
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
  TRUST_PROXY: Type.String({
    default: 'false',
    description:
      'public listener: take addresses from X-Forwarded-For; true: of one proxy, or their number, or their addresses',
  }),
  INTERNAL_TLS_CERT: optional('internal listener over https: file with its certificates, PEM'),
  INTERNAL_TLS_KEY: optional('internal listener over https: file with its private key, PEM'),
  INTERNAL_TLS_CLIENT_CA: optional(
    'only clients whose certificate this authority signed: file, PEM',
  ),
  ENCRYPTION_KEYS: optional(
    'id:base64[,id:base64…]: the first seals, all open; npm run --silent keygen makes one',
  ),
  OPERATOR_KEY: optional(
    'key of the internal API; empty in embedded mode: made once in DATA_DIR/operator.key',
  ),
  AMO_CLIENT_ID: optional('integration "amocrm": its ID'),
  AMO_CLIENT_SECRET: optional('integration "amocrm": its secret key'),
  AMO_REDIRECT_URI: optional('integration "amocrm": its redirect URI, byte for byte'),
  AMO_SANDBOX_ORIGIN: optional(
    'integration "amocrm" talks to this sandbox and never to the provider',
  ),
  KOMMO_CLIENT_ID: optional('integration "kommo": its ID'),
  KOMMO_CLIENT_SECRET: optional('integration "kommo": its secret key'),
  KOMMO_REDIRECT_URI: optional('integration "kommo": its redirect URI, byte for byte'),
  KOMMO_SANDBOX_ORIGIN: optional(
    'integration "kommo" talks to this sandbox and never to the provider',
  ),
  SEND_LIMIT_MS: milliseconds(30_000, 100, 'how long a refresh waits for its answer'),
  LINGER_MS: milliseconds(300_000, 100, 'how long the answer is read on afterwards'),
  SETTLE_MS: milliseconds(60_000, 0, 'wait after an unclear send before the token is probed'),
  READ_WAIT_MS: milliseconds(1_500, 0, 'how long a read waits for a refresh'),
  HEARTBEAT_MS: milliseconds(3_000, 500, 'how long the cache is trusted without an echo of LISTEN'),
  CACHE_ACCOUNTS: Type.Integer({
    minimum: 0,
    maximum: 1_000_000,
    default: 10_000,
    description: 'accounts whose tokens are held open in memory, about 4 KB each; 0: none',
  }),
  DRAIN_MS: milliseconds(
    0,
    0,
    'how long requests are still served after SIGTERM, until load balancers know',
  ),
  AUDIT_DAYS: Type.Integer({
    minimum: 1,
    maximum: 36_500,
    default: 400,
    description: 'how long the audit is kept',
  }),
  PACE_PER_SECOND: Type.Number({
    exclusiveMinimum: 0,
    maximum: 1_000,
    default: 2,
    description: 'refreshes a second and integration',
  }),
  HOLD_SENDS: Type.Boolean({
    default: false,
    description: 'claim and send nothing, serve what there is (npm start -- --hold)',
  }),
  BREAKER_MS: milliseconds(
    30_000,
    100,
    'how long all sends to a platform stop at first when it fails; twice as long every time, up to 20 times',
  ),
  SANDBOX_PORT: port(3002, 'port of the sandbox provider (npm run sandbox, npm run demo)'),
  LOG_LEVEL: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
    default: 'info',
    description: 'pino level',
  }),
})

export type Settings = Static<typeof settings>
