import type { FastifySchemaValidationError } from 'fastify/types/schema.js'

/** Parts of a request, as a sentence names them. */
const PARTS: Record<string, string> = {
  body: 'the body',
  querystring: 'the query',
  params: 'the path',
  headers: 'the headers',
}
const FIELD_NAME = /^[A-Za-z][\w-]{0,63}$/

/** Explains a validation error in a sentence that names the field. `part` is Fastify's context. */
export function explainValidation(
  errors: readonly FastifySchemaValidationError[],
  part: string | undefined,
  isBodyMissing: boolean,
): string {
  if (part === 'body' && isBodyMissing) return 'The body is empty: this operation needs JSON.'
  const where = PARTS[part ?? ''] ?? 'the request'
  const union = errors.find(({ keyword }) => keyword === 'anyOf' || keyword === 'oneOf')
  const [first] = errors
  if (first === undefined) return `Something in ${where} is malformed.`
  return union === undefined ? explain(first, where) : explainUnion(union, errors, where)
}

/** A union lists the errors of each of its alternatives. */
function explainUnion(
  union: FastifySchemaValidationError,
  errors: readonly FastifySchemaValidationError[],
  where: string,
): string {
  const inner = errors.find(({ instancePath }) => instancePath !== union.instancePath)
  if (inner !== undefined) return explain(inner, where)
  const alternatives = errors
    .filter(({ keyword }) => keyword === 'required')
    .map(({ params }) => String(params.missingProperty))
  if (alternatives.length > 0) return `Send ${alternatives.join(' or ')} in ${where}.`
  const extra = errors.find(({ keyword }) => keyword === 'additionalProperties')
  if (extra !== undefined) return `Send only one of the alternatives in ${where}, not both.`
  const other = errors.find(({ keyword }) => keyword !== union.keyword && keyword !== 'type')
  return explain(other ?? errors[0] ?? union, where)
}

function explain(error: FastifySchemaValidationError, where: string): string {
  const { keyword, instancePath, params } = error
  const path = instancePath.split('/').slice(1)
  if (keyword === 'required')
    return `${nameOf([...path, String(params.missingProperty)])}: it is missing.`
  if (keyword === 'additionalProperties') {
    const name = String(params.additionalProperty)
    if (!FIELD_NAME.test(name)) return `A field of ${where} is not known.`
    return `${nameOf([...path, name])}: ${where} has no such field.`
  }
  const problem = problemOf(error)
  if (path.length > 0) return `${nameOf(path)}: ${problem}`
  return `${where.charAt(0).toUpperCase()}${where.slice(1)}: ${problem}`
}

function problemOf({ keyword, params, message }: FastifySchemaValidationError): string {
  switch (keyword) {
    case 'type':
      return `it must be ${typeName(params.type)}.`
    case 'enum':
      return `it must be one of ${[params.allowedValues].flat().join(', ')}.`
    case 'const':
      return `it must be ${JSON.stringify(params.allowedValue)}.`
    case 'format':
      return params.format === 'date-time'
        ? 'it must be a time, such as 2026-01-31T12:00:00Z.'
        : `it must be a ${String(params.format)}.`
    case 'minimum':
      return `it must be ${String(params.limit)} or more.`
    case 'maximum':
      return `it must be ${String(params.limit)} or less.`
    case 'minLength':
      return `it must have ${String(params.limit)} or more characters.`
    case 'maxLength':
      return `it must have ${String(params.limit)} or fewer characters.`
    case 'minProperties':
      return 'it has no field.'
    case 'minItems':
      return `it must have ${String(params.limit)} or more entries.`
    case 'maxItems':
      return `it must have ${String(params.limit)} or fewer entries.`
    case 'pattern':
      return 'it has a wrong form, or characters that are not allowed.'
    default:
      return `it is not accepted (${message ?? keyword}).`
  }
}

function typeName(type: unknown): string {
  const names = [type].flat().map((each) => (each === 'object' ? 'a JSON object' : `${each}`))
  const [name = ''] = names
  if (names.length > 1) return names.join(' or ')
  if (name.startsWith('a ')) return name
  return /^[aeiou]/.test(name) ? `an ${name}` : name === 'null' ? name : `a ${name}`
}

/** `/grants/0/account` becomes `grants[0].account`. */
function nameOf(path: string[]): string {
  return path
    .map((each) => each.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((each, index) => {
      if (/^\d+$/.test(each) && index > 0) return `[${each}]`
      return index === 0 ? each : `.${each}`
    })
    .join('')
}
