import type { FastifyInstance, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import { isBrowser } from '../public-pages/nothing-here.ts'

const NOT_FOUND = 404

declare module 'fastify' {
  interface FastifyInstance {
    /** Makes the OpenAPI document and its pages. */
    apiDocs: ApiDocs
  }
}

/**
 * Collects the schemas of all routes that are registered after it. Generator and pages are loaded
 * when somebody asks for them, because a replica that only serves tokens never does.
 */
export const openapiPlugin = fp<{ isInternal: boolean }>(
  async (app, { isInternal }) => {
    const apiDocs = new ApiDocs(isInternal)
    app.decorate('apiDocs', apiDocs)
    app.addHook('onRoute', (route) => apiDocs.addRoute(route))
    const instances = [app]
    app.addHook('onRegister', (instance) => {
      instances.push(instance)
    })
    app.addHook('onReady', async () => {
      for (const instance of instances.splice(0)) apiDocs.addSchemas(instance.getSchemas())
    })
  },
  { name: 'openapi', fastify: '5.x' },
)

/** What the routes of a listener look like, and the document that is made of it. */
class ApiDocs {
  readonly #isInternal: boolean
  readonly #routes: RouteOptions[] = []
  readonly #schemas = new Map<string, unknown>()
  #document: Promise<object> | undefined
  #pages: Promise<FastifyInstance> | undefined

  constructor(isInternal: boolean) {
    this.#isInternal = isInternal
  }

  addRoute(route: RouteOptions): void {
    const isHidden = (route.schema as { hide?: boolean } | undefined)?.hide === true
    if (route.method !== 'HEAD' && !isHidden) this.#routes.push(route)
  }

  addSchemas(schemas: Record<string, unknown>): void {
    for (const [id, schema] of Object.entries(schemas)) this.#schemas.set(id, schema)
  }

  /** Returns the OpenAPI document. */
  document(): Promise<object> {
    this.#document ??= import('../openapi/build-document.ts').then(({ buildDocument }) =>
      buildDocument(this.#described()),
    )
    return this.#document
  }

  /** Returns the instance that serves the pages below `path`. */
  pages(path: string): Promise<FastifyInstance> {
    this.#pages ??= import('../openapi/build-document.ts').then(({ buildDocsApp }) =>
      buildDocsApp(this.#described(), path),
    )
    return this.#pages
  }

  #described() {
    return { isInternal: this.#isInternal, routes: this.#routes, schemas: this.#schemas }
  }
}

/** Serves `/docs` and `/openapi.json`. `/` leads browsers to the console, and others to `/docs`. */
export async function docsRoutes(app: FastifyInstance, { path }: { path: string }): Promise<void> {
  for (const url of [path, `${path}/*`]) {
    app.get(url, { schema: { hide: true } }, async (request, reply) => {
      const pages = await app.apiDocs.pages(path)
      const page = await pages.inject({ url: request.url, headers: request.headers })
      // Fastify's own 404 repeats the URL.
      if (page.statusCode === NOT_FOUND) return reply.callNotFound()
      return reply.code(page.statusCode).headers(page.headers).send(page.rawPayload)
    })
  }
  app.get('/openapi.json', { schema: { hide: true } }, () => app.apiDocs.document())
  // Relative, because a proxy may serve this listener under a path.
  app.get('/', { schema: { hide: true } }, (request, reply) =>
    reply.redirect(isBrowser(request) ? 'console' : path.slice(1)),
  )
}
