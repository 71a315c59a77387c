import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'
import { openapiDocuments } from '../src/cli/openapi-documents.ts'
import { ERRORS } from '../src/errors.ts'
import { OPERATOR_KEY, startBroker } from './support/broker.ts'
import { fromManyAddresses } from './support/clients.ts'
import { createDatabase } from './support/database.ts'

interface Operation {
  operationId?: string
  tags?: string[]
  summary?: string
  security?: Record<string, string[]>[]
  responses?: Record<string, unknown>
}

interface Document {
  security?: Record<string, string[]>[]
  components: { securitySchemes?: Record<string, unknown>; schemas: Record<string, unknown> }
  paths: Record<string, Record<string, Operation>>
}

/** The internal listener's that need no key: they name no account. */
const OPEN = ['GET /health/live', 'GET /health/ready', 'GET /metrics']

const FOLDER = new URL('../openapi/', import.meta.url)
const README = new URL('../README.md', import.meta.url)
const stored = (name: string) => readFileSync(new URL(name, FOLDER), 'utf8')
const internal: Document = JSON.parse(stored('openapi.json'))
const open: Document = JSON.parse(stored('openapi-public.json'))

function operationsOf({ paths }: Document) {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      method: method.toUpperCase(),
      path,
      name: `${method.toUpperCase()} ${path}`,
      operation,
    })),
  )
}

t.test('openapi/*.json are what the routes say', async (t) => {
  const documents = await openapiDocuments()
  t.same(Object.keys(documents), ['openapi.json', 'openapi-public.json'])
  for (const [name, document] of Object.entries(documents)) {
    t.ok(stored(name) === document, `openapi/${name}; if it is stale: npm run openapi`)
  }
})

/** Every schema in what a caller sends, with the way to it. */
function* numbersIn(node: unknown, way: string): Generator<[string, Record<string, unknown>]> {
  if (typeof node !== 'object' || node === null) return
  const schema = node as Record<string, unknown>
  if (schema.type === 'integer' || schema.type === 'number') yield [way, schema]
  for (const [key, value] of Object.entries(schema)) yield* numbersIn(value, `${way}.${key}`)
}

t.test('every number that a caller sends is bounded: 1e999 is infinite', async (t) => {
  let count = 0
  for (const document of [internal, open]) {
    for (const { name, operation } of operationsOf(document)) {
      const { parameters, requestBody } = operation as Record<string, unknown>
      for (const [way, schema] of numbersIn([parameters, requestBody], name)) {
        count += 1
        t.type(schema.maximum, 'number', way)
      }
    }
  }
  t.ok(count > 5)
})

t.test('every operation has an id of its own, a tag, a summary and its responses', async (t) => {
  for (const document of [internal, open]) {
    const operations = operationsOf(document)
    t.ok(operations.length > 3)
    const ids = operations.map(({ operation }) => operation.operationId)
    t.equal(new Set(ids).size, ids.length, ids.join())
    for (const { name, operation } of operations) {
      t.match(operation.operationId, /^[a-z][A-Za-z]+$/, name)
      t.equal(operation.tags?.length, 1, name)
      t.match(operation.summary, /^[A-Z].*[^.]$/, name)
      t.match(Object.keys(operation.responses ?? {}).join(), /^[2-5]\d\d(,[2-5]\d\d)*$/, name)
    }
  }
})

t.test('every reference in a document leads somewhere', async (t) => {
  for (const document of [internal, open]) {
    const references = JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)
    for (const name of new Set(Array.from(references, ([, reference = '']) => reference))) {
      const [, schema = ''] = /^#\/components\/schemas\/(.+)$/.exec(name ?? '') ?? []
      t.ok(schema in document.components.schemas, name)
    }
  }
})

t.test('every internal operation but liveness and readiness asks for the bearer key', async (t) => {
  t.match(internal.components.securitySchemes, { key: { type: 'http', scheme: 'bearer' } })
  for (const { name, operation } of operationsOf(internal)) {
    const expected = OPEN.includes(name) ? [] : [{ key: [] }]
    t.same(operation.security ?? internal.security, expected, name)
    t.equal('401' in (operation.responses ?? {}), !OPEN.includes(name), name)
  }
  for (const { name, operation } of operationsOf(open)) {
    t.same(operation.security ?? open.security ?? [], [], `${name} is for browsers`)
  }
})

t.test('a started broker', async (t) => {
  const broker = await startBroker(t, { databaseUrl: await createDatabase(t) })

  await t.test('GET /openapi.json 200: the stored document', async (t) => {
    const { status, body } = await broker.get('/openapi.json', { authorization: '' })
    t.equal(status, 200)
    t.same(body, internal)
  })

  await t.test('GET /docs 200: a page, and the document that it shows', async (t) => {
    const { status, headers, body } = await broker.get('/docs', { authorization: '' })
    t.equal(status, 200)
    t.match(headers.get('content-type'), /^text\/html/)
    const assets = [...body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path)
    t.ok(assets.length > 2)
    for (const path of assets) {
      const url = new URL(path, `${broker.url}/docs`)
      t.equal(url.origin, broker.url, `${path}: from nobody else`)
      t.equal((await fetch(url)).status, 200, path)
    }
    t.same((await broker.get('/docs/json')).body, internal)
  })

  await t.test('every operation answers 401 without a key, and the open ones do not', async (t) => {
    const asker = fromManyAddresses(t, 15)
    for (const { name, method, path, operation } of operationsOf(internal)) {
      const named = path.replaceAll(/\{[^}]+\}/g, '1')
      for (const authorization of ['', 'Bearer wrong']) {
        const { status } = await asker(broker.url, method, named, { authorization })
        t.equal(status === 401, !OPEN.includes(name), `${operation.operationId}: ${status}`)
      }
    }
  })

  await t.test('404: the public listener has nothing of the internal one', async (t) => {
    const headers = { authorization: `Bearer ${OPERATOR_KEY}` }
    const shared = operationsOf(open).map(({ name }) => name)
    const operations = operationsOf(internal).filter(({ name }) => !shared.includes(name))
    const paths: [string, string][] = [
      ...operations.map(({ method, path }): [string, string] => [
        method,
        path.replaceAll(/\{[^}]+\}/g, 'x'),
      ]),
      ...['/docs', '/docs/json', '/docs/static/index.html', '/openapi.json', '/metrics'].map(
        (path): [string, string] => ['GET', path],
      ),
    ]
    t.ok(paths.some(([, path]) => path === '/tokens/x'))
    t.ok(paths.some(([, path]) => path === '/accounts'))
    for (const [method, path] of paths) {
      const response = await fetch(broker.publicUrl + path, { method, headers })
      t.equal(response.status, 404, `${method} ${path}`)
      t.match(await response.json(), { code: 'not_found' })
    }
  })
})

const withoutReadme = existsSync(README) ? false : 'there is no README.md yet'
t.test('README.md tells of every error code what to do', { skip: withoutReadme }, async (t) => {
  const rows = readFileSync(README, 'utf8').split('\n')
  for (const [code, [status]] of Object.entries(ERRORS)) {
    const row = rows.find((line) => line.startsWith('|') && line.includes(`\`${code}\``))
    t.match(row, new RegExp(`\\b${status}\\b`), code)
  }
})
