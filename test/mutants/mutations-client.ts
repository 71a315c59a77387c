import type { Edit, Mutation, TestFile } from './mutation.ts'

const CLIENT = 'src/client/client.ts'
const FLIGHT = 'src/client/flight.ts'
const STATE = 'src/client/account-state.ts'
const BROKER = 'src/client/broker-api.ts'
const ERROR = 'src/client/error.ts'
const TOKEN = 'src/client/token.ts'
const REQUEST = 'src/client/request.ts'
const STREAM = 'src/client/event-stream.ts'

/** Tests outside client.test.ts. */
const FILES: Record<string, string> = {
  'undici: the interceptor': 'test/client-fleet.test.ts',
  'keeps none of them alive': 'test/client-package.test.ts',
}

/** Rules of the client package, each with the test that must notice. */
export const CLIENT_MUTATIONS: Mutation[] = [
  rule('a clock that does not jump', /by a clock that does not jump/, [
    [
      BROKER,
      'const startedMs = performance.now()',
      'const startedMs = Date.now() - performance.timeOrigin',
    ],
    [
      CLIENT,
      'const startMs = performance.now()',
      'const startMs = Date.now() - performance.timeOrigin',
    ],
  ]),
  rule('use_for counts from before the request', /counts from before the request/, [
    [BROKER, 'return readToken(text, startedMs)', 'return readToken(text, performance.now())'],
  ]),
  rule('the cache', /for use_for, by a clock/, [
    [
      STATE,
      'if (cached === undefined || nowMs >= cached.useUntilMs) return undefined',
      'if (cached !== undefined || nowMs > 0) return undefined',
    ],
  ]),
  rule('use_for 0 is never cached', /use_for 0 is never cached/, [
    [
      STATE,
      'if (timed.useUntilMs > timed.startedMs) this.#cached = timed',
      'if (timed.useUntilMs >= timed.startedMs) this.#cached = timed',
    ],
  ]),
  rule('newest generation only', /an older generation never replaces/, [
    [
      STATE,
      'if (this.#cached !== undefined && generation < this.#cached.token.generation) {',
      'if (this.#cached !== undefined && generation < 0) {',
    ],
  ]),
  rule('one request in flight', /one request in flight per account/, [
    [CLIENT, 'const joined = state.flight\n', 'const joined = undefined as Flight | undefined\n'],
  ]),
  rule('the cached token while the broker is down', /: the cached token is used/, [
    [CLIENT, 'if (stillSpare !== undefined) return this.#useSpare(account, stillSpare, error)', ''],
  ]),
  rule('nobody waits for a broker that is down', /broker hung: the cached token/, [
    [
      CLIENT,
      'const patienceMs = failure === undefined ? WAIT_WITH_SPARE_MS : WAIT_WHILE_DOWN_MS',
      'const patienceMs = WAIT_WITH_SPARE_MS',
    ],
    [
      CLIENT,
      'if (spare !== undefined && failure !== undefined && startMs < failure.untilMs) {',
      'if (spare !== undefined && failure !== undefined && startMs < 0) {',
    ],
  ]),
  rule('the rest of a token', /: the cached token is used/, [
    [TOKEN, 'restMs: Math.min(MIN_REST_MS, lifeMsOf(accessToken) / 10),', 'restMs: 0,'],
  ]),
  rule('the rest of a short-lived token', /keeps a tenth of its life/, [
    [TOKEN, 'restMs: Math.min(MIN_REST_MS, lifeMsOf(accessToken) / 10),', 'restMs: MIN_REST_MS,'],
  ]),
  rule('an event for the use of a cached token', /broker down: the cached token/, [
    [CLIENT, "    this.#emit({ type: 'cached_token_used', account, generation, error })\n", ''],
  ]),
  rule('Retry-After and jitter', /comes after Retry-After and jitter/, [
    [
      BROKER,
      '(error.retryAfterMs ?? DEFAULT_WAIT_MS) + Math.random() * JITTER_MS',
      'error.retryAfterMs ?? DEFAULT_WAIT_MS',
    ],
  ]),
  rule('two attempts', /two attempts, then the error/, [
    [BROKER, 'attempt >= attempts', 'attempt > attempts'],
  ]),
  rule('the caller’s deadline', /that the caller’s deadline does not allow/, [
    [BROKER, '        if (performance.now() + waitMs >= endMs) throw error\n', ''],
  ]),
  rule('an error has the link', /the link for the administrator/, [
    [ERROR, "    connectUrl: field('connect_url'),\n", ''],
  ]),
  rule('an error has the remedy', /then the error with its remedy/, [
    [ERROR, "    remedy: field('remedy'),\n", ''],
  ]),
  rule('permanent errors are remembered', /permanent errors: as AmoTokenError/, [
    [STATE, 'const REFUSAL_MS = 5_000', 'const REFUSAL_MS = 0'],
  ]),
  rule('permanent errors are forgotten after 5 s', /permanent errors: as AmoTokenError/, [
    [STATE, 'const REFUSAL_MS = 5_000', 'const REFUSAL_MS = 60_000'],
  ]),
  rule('a permanent refusal drops the token', /permanent refusal: the cached token/, [
    [
      STATE,
      'this.#refusal = { error, untilMs: nowMs + REFUSAL_MS }\n      this.#cached = undefined',
      'this.#refusal = { error, untilMs: nowMs + REFUSAL_MS }',
    ],
  ]),
  rule('the key is read again', /a function is called again after a 401/, [
    [BROKER, "let isKeyFresh = typeof this.#keySource === 'string'", 'let isKeyFresh = true'],
  ]),
  rule('a generation is reported once', /reported once for all callers/, [
    [
      CLIENT,
      'const report = isKnown ? known :',
      'const report = isKnown && known === undefined ? known :',
    ],
  ]),
  rule('a newer generation is not reported on', /a late response for an old generation/, [
    [
      CLIENT,
      '    if (generation < state.newestGeneration) return this.getToken(account, options)\n',
      '',
    ],
  ]),
  rule('a live token is not reported again at once', /401 of a live token/, [
    [CLIENT, 'const ALIVE_MS = 10_000', 'const ALIVE_MS = 0'],
  ]),
  rule('a live token is reported again later', /401 of a live token/, [
    [CLIENT, 'const ALIVE_MS = 10_000', 'const ALIVE_MS = 1_000_000'],
  ]),
  rule('a stream is not sent twice', /a body is sent again if it can be/, [
    [
      REQUEST,
      'return body instanceof URLSearchParams || body instanceof FormData || body instanceof Blob',
      'return true',
    ],
  ]),
  rule('a Request is sent twice', /a body is sent again if it can be/, [
    [REQUEST, 'await input.arrayBuffer()', 'input.body'],
  ]),
  rule('a second 401 is the caller’s', /401 twice: the caller gets/, [
    [
      CLIENT,
      '    await response.body?.cancel()\n    return send(next)',
      '    await response.body?.cancel()\n    await send(next)\n    return send(next)',
    ],
  ]),
  rule('an abort ends its caller’s wait only', /ends the wait of its caller only/, [
    [FLIGHT, 'if (flight.waiters === 0) flight.abort', 'if (flight.waiters >= 0) flight.abort'],
  ]),
  rule('a request that nobody waits for', /a request that nobody waits for is ended/, [
    [FLIGHT, 'if (flight.waiters === 0) flight.abort', 'if (flight.waiters < 0) flight.abort'],
  ]),
  rule('abort: the wait for a report', /a fetch, and a wait for a report/, [
    [
      CLIENT,
      'const deadline = { endMs: this.#endMs(options), signal: options.signal }',
      'const deadline = { endMs: this.#endMs(options), signal: undefined }',
    ],
  ]),
  rule('no token in inspect and JSON', /show neither the token nor the key/, [
    [TOKEN, 'Object.assign(this, fields)', 'Object.assign(this, fields, { text: accessToken })'],
  ]),
  rule('the token goes to the account’s host only', /the token goes to no other host/, [
    [
      REQUEST,
      'const isOwn = url.hostname === token.domain || url.hostname === account.toLowerCase()',
      'const isOwn = true',
    ],
  ]),
  rule('https only', /the token goes to no other host/, [
    [REQUEST, "const isHttps = url.protocol === 'https:'", 'const isHttps = true'],
  ]),
  rule('an invalidated token is dropped', /an invalidated token is dropped/, [
    [STREAM, 'this.#options.onInvalidated(Number(account), Number(generation))', ''],
  ]),
  rule('events of another account', /an invalidated token is dropped/, [
    [
      STATE,
      'token?.accountId !== accountId || token.generation > generation',
      'token === undefined || token.generation > generation',
    ],
  ]),
  rule('a broker without events is left alone', /without them is not asked repeatedly/, [
    [STREAM, 'const NOT_OFFERED_MS = 900_000', 'const NOT_OFFERED_MS = 0'],
  ]),
  rule('the stream keeps no process alive', /keeps none of them alive/, [
    [STREAM, "      call.on('socket', (socket) => socket.unref())\n", ''],
  ]),
  rule('no timer keeps a process alive', /keeps none of them alive/, [
    ['src/client/deadline.ts', '      clearTimeout(timer)\n', '      void timer\n'],
  ]),
  rule('undici: the interceptor repeats', /undici: the interceptor/, [
    [
      'src/client/interceptor.ts',
      'if (start[1] === 401) held = []',
      'if (start[1] === 402) held = []',
    ],
  ]),
]

function rule(
  name: string,
  only: RegExp,
  edits: [file: string, find: string, replace: string][],
): Mutation {
  const file = FILES[only.source] ?? 'test/client.test.ts'
  const tests: TestFile[] = [{ file, only }]
  return {
    guard: `client: ${name}`,
    edits: edits.map(([path, find, replace]): Edit => ({ file: path, find, replace })),
    tests,
  }
}
