import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import fastify, { type FastifyInstance, type FastifySchema, type RouteOptions } from 'fastify'
import { Type } from '../../lib/type.ts'
import { BODY_PROBLEMS, problems } from '../problem-responses.ts'
import type { ApiDocument } from './api-document.ts'
import { completeDocument } from './complete-document.ts'
import { DOCS_CSS, DOCS_ICON, docsPage } from './docs-page.ts'
import { INTERNAL, PUBLIC } from './introduction.ts'

/** The schemas of a listener. */
export interface Described {
  isInternal: boolean
  routes: RouteOptions[]
  /** Shared schemas by their id. */
  schemas: ReadonlyMap<string, unknown>
}

/** Swagger UI loads its scripts and the document from this origin, and sets inline styles. */
const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self' 'unsafe-inline'; " +
  "img-src 'self' data:; font-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** OpenAPI has no wildcard in a path. */
const RedirectPathParams = Type.Object({
  redirect_path: Type.String({
    description: 'path of an integration’s redirect URI; it may contain slashes',
  }),
})

/** Returns the OpenAPI document of a listener. */
export async function buildDocument(described: Described): Promise<object> {
  const app = await describingApp(described)
  await app.ready()
  return app.swagger()
}

/** Returns an instance that serves Swagger UI and the document. It never listens. */
export async function buildDocsApp(described: Described, path: string): Promise<FastifyInstance> {
  const app = await describingApp(described)
  await app.register(swaggerUi, {
    routePrefix: path,
    staticCSP: PAGE_POLICY,
    uiConfig: {
      // Without the bar that has the logo of Swagger UI.
      layout: 'BaseLayout',
      defaultModelsExpandDepth: 0,
      docExpansion: 'list',
      tryItOutEnabled: false,
    },
    theme: {
      title: INTERNAL.title,
      css: [{ filename: 'docs.css', content: DOCS_CSS }],
      favicon: [DOCS_ICON],
    },
    uiHooks: {
      // The page of Swagger UI has no viewport, and its assets do not work behind a path prefix.
      preHandler: (request, reply, next) => {
        if (request.routeOptions.url !== path && request.routeOptions.url !== `${path}/`) {
          return next()
        }
        const [pathname = ''] = request.url.split('?')
        reply.type('text/html; charset=utf-8').send(docsPage(pathname.endsWith('/')))
      },
    },
  })
  await app.ready()
  return app
}

/** Makes an instance with the same schemas, whose routes do nothing. */
async function describingApp({ isInternal, routes, schemas }: Described): Promise<FastifyInstance> {
  const { title, description, servers, tags } = isInternal ? INTERNAL : PUBLIC
  const app = fastify()
  app.setValidatorCompiler(() => () => true)
  app.setSerializerCompiler(() => () => '')
  for (const schema of schemas.values()) app.addSchema(schema)
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title, version: '1', description },
      servers,
      tags,
      ...(isInternal
        ? {
            components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
            security: [{ key: [] }],
          }
        : {}),
    },
    refResolver: {
      buildLocalReference: (schema, _base, _fragment, index) =>
        typeof schema.$id === 'string' ? schema.$id : `Schema${index}`,
    },
    transform: ({ schema, url }) => describeRoute(schema, url),
    transformObject: (generated) => {
      // A copy, because the generator uses some objects twice.
      const copy = JSON.parse(JSON.stringify(Object.values(generated)[0]))
      const document: ApiDocument = copy
      completeDocument(document, { isOpen: !isInternal })
      return copy
    },
  })
  for (const { method, url, schema } of routes) {
    if (schema !== undefined) app.route({ method, url, schema, handler: () => '' })
  }
  return app
}

/** Adds the errors that every operation with a body has, and gives the wildcard route a path. */
function describeRoute(schema: FastifySchema | undefined, url: string) {
  if (schema === undefined) return { schema: { hide: true }, url }
  if (url === '/*') {
    return { schema: { ...schema, params: RedirectPathParams }, url: '/:redirect_path' }
  }
  if (schema.body === undefined) return { schema, url }
  const response = { ...problems(...BODY_PROBLEMS), ...toObject(schema.response) }
  return { schema: { ...schema, response }, url }
}

function toObject(value: unknown): object {
  return typeof value === 'object' && value !== null ? value : {}
}
