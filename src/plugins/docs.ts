import swagger from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

/** Swagger UI loads scripts and the document from here, and styles its elements one by one. */
const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self' 'unsafe-inline'; " +
  "img-src 'self' data:; font-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** Collects the schemas of all routes that are registered after it. */
export const openapiPlugin = fp<{ title: string; isInternal: boolean }>(
  async (app, { title, isInternal }) => {
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: { title, version: '1' },
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
    })
  },
  { name: 'openapi', fastify: '5.x' },
)

/** `/docs` and `/openapi.json`. */
export async function docsRoutes(app: FastifyInstance, { path }: { path: string }): Promise<void> {
  const { default: swaggerUi } = await import('@fastify/swagger-ui')
  await app.register(swaggerUi, { routePrefix: path, staticCSP: PAGE_POLICY })
  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger())
}
