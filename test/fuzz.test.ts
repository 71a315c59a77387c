import { readFileSync } from 'node:fs'
import t from 'tap'
import { fuzz, type Listener } from './fuzz/fuzz.ts'
import type { Operation } from './fuzz/mutations.ts'
import { OPERATOR_KEY } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'

/** `npm run fuzz` sends more. */
const REQUESTS = Number(process.env.FUZZ_REQUESTS ?? 3_000)
const SEED = Number(process.env.FUZZ_SEED ?? 20_261_124)
const PROGRESS = 5_000

interface Description {
  paths: Record<
    string,
    Record<string, { parameters?: Operation['parameters']; requestBody?: unknown }>
  >
}

function operationsOf(file: string): Operation[] {
  const { paths }: Description = JSON.parse(
    readFileSync(new URL(`../openapi/${file}`, import.meta.url), 'utf8'),
  )
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { parameters = [], requestBody }]) => ({
      method: method.toUpperCase(),
      path,
      parameters,
      properties: [
        ...new Set(
          JSON.stringify(requestBody ?? {})
            .matchAll(/"(\w+)":\{"(?:type|anyOf|enum|\$ref)/g)
            .map(([, name = '']) => name),
        ),
      ],
    })),
  )
}

t.test(`${REQUESTS} malformed requests, seed ${SEED}`, { timeout: 7_000_000 }, async (t) => {
  const { broker } = await startBrokerWithSandbox(t, {
    ownProcess: true,
    env: { LOG_LEVEL: 'warn' },
  })
  const listeners: Listener[] = [
    { url: broker.url, isInternal: true, operations: operationsOf('openapi.json') },
    { url: broker.publicUrl, isInternal: false, operations: operationsOf('openapi-public.json') },
  ]
  t.ok(listeners.every(({ operations }) => operations.length > 4))
  const { requests, statuses, findings } = await fuzz(listeners, {
    requests: REQUESTS,
    seed: SEED,
    key: OPERATOR_KEY,
    lanes: 16,
    onProgress: (sent) => {
      if (sent % PROGRESS === 0) t.comment(`${sent} of ${REQUESTS}`)
    },
  })
  t.comment(JSON.stringify(statuses))
  t.ok(requests >= REQUESTS)
  t.same(findings.slice(0, 10), [], `${findings.length} findings`)
  t.ok(
    (statuses[400] ?? 0) > requests / 20 && (statuses[401] ?? 0) > requests / 20,
    'the requests reached the routes',
  )
  t.ok((statuses[429] ?? 0) < requests / 4, 'the limits refused only a few')
  t.equal(broker.process.exitCode, null, 'it did not crash')
  t.equal((await broker.get('/health/live')).status, 200)
  t.notMatch(broker.log(), /"level":[56]0/, 'no error was logged')
  // A well-formed X-Request-Id is in the log on purpose.
  const log = broker.log().replaceAll(/"request_id":"[\w.:-]{1,128}"/g, '')
  t.notMatch(log, /canary-input/, 'no other part of a request is in the log')
})
