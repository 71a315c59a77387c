import { readFileSync } from 'node:fs'
import t from 'tap'
import { openapiDocuments } from '../src/cli/project/openapi-documents.ts'
import { PROBLEM_MEMBERS } from '../src/contract/problem.ts'
import { NO_EXAMPLE } from '../src/http/openapi/build-example.ts'
import { ERRORS } from '../src/lib/errors.ts'
import { OPERATOR_KEY, startBroker } from './support/broker.ts'
import { findChromium, openBrowser } from './support/chromium.ts'
import { fromManyAddresses } from './support/clients.ts'
import { createDatabase } from './support/database.ts'

interface Media {
  example?: unknown
  examples?: Record<string, { $ref?: string; value?: unknown }>
}

interface Response {
  $ref?: string
  description: string
  headers?: Record<string, unknown>
  content?: Record<string, Media>
}

interface Operation {
  operationId?: string
  tags?: string[]
  summary?: string
  security?: Record<string, string[]>[]
  parameters?: { name: string; in: string; description?: string; required?: boolean }[]
  requestBody?: { content: Record<string, Media> }
  responses: Record<string, Response>
}

interface Document {
  info: { title: string; description: string }
  servers: { url: string; description: string }[]
  tags: { name: string; description: string }[]
  security?: Record<string, string[]>[]
  components: {
    securitySchemes?: Record<string, unknown>
    schemas: Record<string, unknown>
    responses: Record<string, Response>
    examples: Record<string, { value: Record<string, unknown> }>
  }
  paths: Record<string, Record<string, Operation>>
}

/** Internal operations without a key. They name no account. */
const OPEN = ['GET /health/live', 'GET /health/ready', 'GET /metrics']

const FOLDER = new URL('../openapi/', import.meta.url)
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

t.test('openapi/*.json match the routes', async (t) => {
  const documents = await openapiDocuments()
  t.same(Object.keys(documents), ['openapi.json', 'openapi-public.json'])
  for (const [name, document] of Object.entries(documents)) {
    t.ok(stored(name) === document, `openapi/${name}; if it is stale: amo-broker openapi`)
  }
})

/** Yields every number in a schema, with its path. */
function* numbersIn(node: unknown, way: string): Generator<[string, Record<string, unknown>]> {
  if (typeof node !== 'object' || node === null) return
  const schema = node as Record<string, unknown>
  if (schema.type === 'integer' || schema.type === 'number') yield [way, schema]
  for (const [key, value] of Object.entries(schema)) yield* numbersIn(value, `${way}.${key}`)
}

t.test('every number in a request has a maximum, because 1e999 is infinite', async (t) => {
  let count = 0
  for (const document of [internal, open]) {
    for (const { name, operation } of operationsOf(document)) {
      const { parameters, requestBody } = operation
      for (const [way, schema] of numbersIn([parameters, requestBody], name)) {
        count += 1
        t.type(schema.maximum, 'number', way)
      }
    }
  }
  t.ok(count > 5)
})

t.test('every operation has a unique id, a tag, a summary and its responses', async (t) => {
  for (const document of [internal, open]) {
    const operations = operationsOf(document)
    t.ok(operations.length > 3)
    const ids = operations.map(({ operation }) => operation.operationId)
    t.equal(new Set(ids).size, ids.length, ids.join())
    for (const { name, operation } of operations) {
      t.match(operation.operationId, /^[a-z][A-Za-z]+$/, name)
      t.equal(operation.tags?.length, 1, name)
      t.match(operation.summary, /^[A-Z].*[^.]$/, name)
      t.match(Object.keys(operation.responses).join(), /^[2-5]\d\d(,[2-5]\d\d)*$/, name)
    }
  }
})

t.test('every reference in a document has a target', async (t) => {
  for (const document of [internal, open]) {
    const references = JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)
    for (const name of new Set(Array.from(references, ([, reference = '']) => reference))) {
      const found = /^#\/components\/(schemas|responses|examples)\/(.+)$/.exec(name)
      const [, kind = '', target = ''] = found ?? []
      const components = Object.entries(document.components).find(([key]) => key === kind)
      t.hasProp(components?.[1] ?? {}, target)
    }
  }
})

t.test(
  'every internal operation except liveness, readiness and metrics needs the bearer key',
  async (t) => {
    t.match(internal.components.securitySchemes, { key: { type: 'http', scheme: 'bearer' } })
    for (const { name, operation } of operationsOf(internal)) {
      const expected = OPEN.includes(name) ? [] : [{ key: [] }]
      t.same(operation.security ?? internal.security, expected, name)
      t.equal('401' in operation.responses, !OPEN.includes(name), name)
    }
    for (const { name, operation } of operationsOf(open)) {
      t.same(operation.security, [], `${name} is for browsers`)
    }
  },
)

/** Returns the responses of an operation, the shared ones included. */
function responsesOf(document: Document, { responses }: Operation): [string, Response][] {
  const { responses: shared } = document.components
  return Object.entries(responses).map(([status, response]) => {
    const name = response.$ref?.replace('#/components/responses/', '')
    return [status, (name === undefined ? undefined : shared[name]) ?? response]
  })
}

t.test('the documents introduce themselves, and describe each tag', async (t) => {
  for (const document of [internal, open]) {
    t.match(document.info.title, /^amo token broker/)
    t.ok(document.info.description.length > 100)
    t.match(document.servers, [{ url: '/' }, { url: /^http:\/\/127\.0\.0\.1:300[01]$/ }])
    const described = document.tags.map(({ name, description }) => {
      t.match(description, /\.$/, name)
      return name
    })
    const used = operationsOf(document).flatMap(({ operation }) => operation.tags ?? [])
    t.same(described.toSorted(), [...new Set(used)].toSorted())
    t.notMatch(Object.keys(document.paths).join(), /\*/, 'no path is a wildcard')
  }
})

t.test('every response has a description, an example, and the headers of its status', async (t) => {
  for (const document of [internal, open]) {
    for (const { name, operation } of operationsOf(document)) {
      for (const [status, { description, headers = {}, content = {} }] of responsesOf(
        document,
        operation,
      )) {
        t.ok(description && description !== 'Default Response', `${name} ${status}`)
        for (const [type, { example, examples }] of Object.entries(content)) {
          t.ok(example ?? examples, `${name} ${status} ${type}: an example`)
        }
        const isProblem = 'application/problem+json' in content
        if (isProblem && ['429', '503'].includes(status)) t.hasProp(headers, 'Retry-After', name)
        if (status.startsWith('30') && status !== '304') t.hasProp(headers, 'Location', name)
      }
    }
  }
})

t.test('every request has examples, and the errors of its body', async (t) => {
  for (const document of [internal, open]) {
    const missing = new RegExp(`${NO_EXAMPLE} [\\w.]+`).exec(JSON.stringify(document))?.[0]
    t.equal(missing, undefined, 'add it to src/http/openapi/example-values.ts')
    for (const { name, operation } of operationsOf(document)) {
      for (const parameter of operation.parameters ?? []) {
        if (parameter.required) t.hasProp(parameter, 'example', `${name}: ${parameter.name}`)
        t.ok(parameter.description, `${name} ${parameter.name}`)
      }
      const media = Object.values(operation.requestBody?.content ?? {})
      for (const { example, examples } of media) t.ok(example ?? examples, `${name}: the body`)
      const statuses = Object.keys(operation.responses)
      t.equal(statuses.includes('413') && statuses.includes('408'), media.length > 0, name)
    }
  }
})

t.test('conditional requests: ETag, If-None-Match and If-Match', async (t) => {
  const { get: read } = internal.paths['/tokens/{account}'] ?? {}
  const { post: report } = internal.paths['/tokens/{account}/refresh'] ?? {}
  const { post: importing } = internal.paths['/accounts/import'] ?? {}
  t.match(read?.parameters, [{}, {}, {}, { name: 'If-None-Match', in: 'header' }])
  for (const status of ['200', '304']) t.hasProp(read?.responses[status]?.headers ?? {}, 'ETag')
  t.hasProp(report?.responses['200']?.headers ?? {}, 'ETag')
  t.match(importing?.parameters, [{ name: 'If-Match', in: 'header' }])
})

t.test('Problem: the code is an enumeration, and brings its members', async (t) => {
  const { schemas, examples } = internal.components
  t.match(schemas.Problem, { properties: { code: { type: 'string', enum: Object.keys(ERRORS) } } })
  for (const [code, members] of Object.entries(PROBLEM_MEMBERS)) {
    const [schema] = Object.entries(schemas).filter(([name]) => name === schemaNameOf(code))
    t.match(schema?.[1], { allOf: [{}, { properties: { code: { enum: [code] } } }] }, code)
    for (const name of Object.keys(members)) t.ok(examples[code]?.value[name], `${code}: ${name}`)
  }
  for (const [code, { value }] of Object.entries(examples)) {
    t.match(value, { code, status: Number, remedy: String, type: `urn:amo-token-broker:${code}` })
  }
})

function schemaNameOf(code: string): string {
  const words = code.split('_').map((word) => `${word.slice(0, 1).toUpperCase()}${word.slice(1)}`)
  return `${words.join('')}Problem`
}

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
    t.match(body, '<title>amo token broker: API</title>')
    t.match(body, '<meta name="viewport" content="width=device-width, initial-scale=1">')
    const assets = [...body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path)
    t.ok(assets.length > 2)
    for (const path of assets) {
      const url = new URL(path, `${broker.url}/docs`)
      t.equal(url.origin, broker.url, `${path}: from this origin`)
      t.equal((await fetch(url)).status, 200, path)
    }
    t.same((await broker.get('/docs/json')).body, internal)
  })

  await t.test('GET / 302: the internal listener leads to the documentation', async (t) => {
    const response = await fetch(`${broker.url}/`)
    t.equal(response.url, `${broker.url}/docs`)
    t.equal(response.status, 200)
    await response.text()
  })

  await t.test('GET / and 404 on the public listener: a page for browsers', async (t) => {
    for (const [path, status] of [
      ['/', 200],
      ['/connekt/x?code=canary', 404],
    ] as const) {
      const url = `${broker.publicUrl}${path}`
      const page = await fetch(url, { headers: { accept: 'text/html,*/*;q=0.8' } })
      t.equal(page.status, status, path)
      t.match(page.headers.get('content-type'), /^text\/html/)
      t.match(page.headers.get('content-security-policy'), /default-src 'none'/)
      const text = await page.text()
      t.match(text, /link that you were given|откройте ссылку/)
      t.notMatch(text, /canary|\/docs/)
      const problem = await fetch(url)
      t.equal(problem.status, 404, `${path}: a problem document for programs`)
      const body = await problem.json()
      t.match(body, { code: 'not_found' })
      t.notMatch(JSON.stringify(body), /\/docs/, 'the page is not here')
    }
  })

  const executable = findChromium()
  const skip = executable === undefined && 'no Chromium here'
  await t.test('/docs in a browser: fits a phone, no foreign logo', { skip }, async (t) => {
    if (executable === undefined) return
    const browser = await openBrowser(t, executable)
    const page = await browser.newPage()
    const problems: string[] = []
    page.on('console', (message) => problems.push(message.text()))
    page.on('requestfailed', (request) => problems.push(request.url()))
    for (const width of [1280, 390]) {
      await page.setViewportSize({ width, height: 900 })
      await page.goto(`${broker.url}/docs`)
      await page.locator('#operations-tokens-reportToken .opblock-summary-control').click()
      await page.locator('.response .example', { hasText: 'access_token' }).first().waitFor()
      t.equal(await page.title(), 'amo token broker: API')
      t.match(await page.locator('.info').innerText(), /Keep the token for/)
      t.equal(await page.evaluate('document.documentElement.scrollWidth'), width, 'no scrolling')
      t.equal(await page.locator('.topbar, .info img').count(), 0, 'no logo')
    }
    t.same(problems, [])
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

  await t.test('404: the public listener has no internal operation', async (t) => {
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
