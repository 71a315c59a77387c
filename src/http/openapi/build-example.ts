import type { ApiSchema, Json } from './api-document.ts'
import { EXAMPLE_VALUES, SHOWN_OPTIONALS } from './example-values.ts'

/** Stands in an example where the table has no value. The tests look for it. */
export const NO_EXAMPLE = 'no example value for'

/** Builds examples from schemas and the table of values. */
export class ExampleBuilder {
  readonly #schemas: Record<string, ApiSchema>

  constructor(schemas: Record<string, ApiSchema>) {
    this.#schemas = schemas
  }

  /**
   * Returns an example of a schema. `owner` is the name of the schema or operation that it belongs
   * to, `name` that of the property or parameter.
   */
  build(schema: ApiSchema, owner: string, name: string): Json {
    if (schema.$ref !== undefined) {
      const target = schema.$ref.replace('#/components/schemas/', '')
      return this.build(this.#schemas[target] ?? {}, target, name)
    }
    if (schema.const !== undefined) return schema.const
    const value = findValue(owner, name)
    if (value !== undefined && fits(value, schema)) return value
    const [first] = schema.enum ?? []
    if (first !== undefined) return first
    if (schema.allOf !== undefined) {
      return Object.assign({}, ...schema.allOf.map((part) => this.build(part, owner, name)))
    }
    const option = schema.anyOf?.find(({ type }) => type !== 'null')
    if (option !== undefined) return this.build(option, owner, name)
    if (schema.type === 'array') return [this.build(schema.items ?? {}, owner, name)]
    if (schema.properties !== undefined) return this.#buildObject(schema, owner)
    return schema.default ?? `${NO_EXAMPLE} ${owner}.${name}`
  }

  #buildObject({ properties = {}, required = [] }: ApiSchema, owner: string): Json {
    const isShown = (name: string) => required.includes(name) || SHOWN_OPTIONALS.has(name)
    const entries = Object.entries(properties)
      .filter(([name]) => isShown(name))
      .map(([name, schema]) => [name, this.build(schema, owner, name)])
    return Object.fromEntries(entries)
  }
}

/** Returns the value of the table, the most specific one first. */
export function findValue(owner: string, name: string): Json | undefined {
  const own = `${owner}.${name}`
  return EXAMPLE_VALUES[Object.hasOwn(EXAMPLE_VALUES, own) ? own : name]
}

/**
 * Returns whether a value has the type of a schema. One name can mean a list here and a text there.
 */
function fits(value: Json, schema: ApiSchema): boolean {
  if (schema.enum !== undefined) return schema.enum.includes(value)
  if (schema.anyOf !== undefined) return schema.anyOf.some((option) => fits(value, option))
  return schema.type === typeOf(value) || (schema.type === 'integer' && Number.isInteger(value))
}

function typeOf(value: Json): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'array' : typeof value
}
