import { Ajv, type ValidateFunction } from 'ajv'
import type { Static, TSchema } from 'typebox'

/** Fastify checks requests with the same library. Our own schemas need no check themselves. */
const ajv = new Ajv({ meta: false, validateSchema: false })
const compiled = new WeakMap<TSchema, ValidateFunction>()

/**
 * Parses JSON that came from outside and checks it against a schema, which must be a constant: it
 * is compiled at its first use and kept. Members that the schema does not name are left in place
 * and are not part of the type.
 *
 * @returns `undefined` when the text is not JSON, or does not match the schema.
 */
export function parseJson<Schema extends TSchema>(
  schema: Schema,
  text: string,
): Static<Schema> | undefined {
  const parsed = tryParse(text)
  const matches = compiled.get(schema) ?? compile(schema)
  return matches(parsed) ? (parsed as Static<Schema>) : undefined
}

function compile(schema: TSchema): ValidateFunction {
  const matches = ajv.compile(schema)
  compiled.set(schema, matches)
  return matches
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
