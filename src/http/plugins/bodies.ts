import fp from 'fastify-plugin'
import { BrokerError } from '../../lib/errors.ts'

const NUL = '\u0000'
/** The schemas are shallower. */
const MAX_DEPTH = 20

/**
 * Reads bodies. An empty body counts as none, whatever its Content-Type: many HTTP clients send the
 * header with every request. It stands for an object without fields where no field is needed.
 * Another media type than a scope's own is refused.
 *
 * Refuses text that PostgreSQL cannot store, anywhere in a request: U+0000, and half of a surrogate
 * pair.
 */
export const bodiesPlugin = fp(
  async (app) => {
    app.removeAllContentTypeParsers()
    const parseJson = app.getDefaultJsonParser('error', 'error')
    app.addContentTypeParser(
      'application/json',
      { parseAs: 'string' },
      (request, body: string, done) =>
        body === '' ? done(null, undefined) : parseJson(request, body, done),
    )
    app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body: string, done) =>
      body === '' ? done(null, undefined) : done(unsupported()),
    )
    app.addHook('preValidation', (request, _reply, done) => {
      if (request.body === undefined && isOptional(request.routeOptions.schema?.body)) {
        request.body = {}
      }
      if (!request.url.includes('%00') && isStorable(request.body)) return done()
      const detail = 'A text contains U+0000 or half of a surrogate pair, which cannot be stored.'
      done(new BrokerError('bad_request', detail))
    })
  },
  { name: 'bodies', fastify: '5.x' },
)

export function unsupported(): BrokerError {
  return new BrokerError('unsupported_media_type', 'The body is not JSON by its Content-Type.')
}

/** Returns true for the schema of an object whose fields may all be absent. */
function isOptional(schema: unknown): boolean {
  const { type, required, minProperties } = (schema ?? {}) as Partial<Record<string, unknown>>
  return type === 'object' && required === undefined && minProperties === undefined
}

function isStorable(value: unknown, depth = 0): boolean {
  if (typeof value === 'string') return !value.includes(NUL) && value.isWellFormed()
  if (typeof value !== 'object' || value === null) return true
  // What is this deep matches no schema.
  if (depth > MAX_DEPTH) return true
  return Object.entries(value).every(
    ([name, each]) => isStorable(name) && isStorable(each, depth + 1),
  )
}
