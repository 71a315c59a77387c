import type { FastifyRequest } from 'fastify'
import type { Static, TObject } from 'typebox'
import { BrokerError } from '../../lib/errors.ts'
import { explainValidation } from '../plugins/validation-texts.ts'
import { remedyText } from './remedy-text.ts'

/** What was typed, and what is wrong with it. */
export interface Form {
  values: Readonly<Record<string, string | string[]>>
  /** By field. The empty name: the form as a whole. */
  errors: Readonly<Record<string, string>>
}

export type FormReading<T> = { isValid: true; data: T; form: Form } | { isValid: false; form: Form }

/** Returns a form that nobody has filled in. */
export function emptyForm(values: Form['values'] = {}): Form {
  return { values, errors: {} }
}

/**
 * Reads the fields of a form that a schema names, from the body or, for a form that only filters,
 * from the query. Empty fields count as absent. A checkbox is a boolean, and a field that may
 * repeat is an array.
 */
export function readForm<S extends TObject>(
  request: FastifyRequest,
  schema: S,
  source: unknown = request.body,
): FormReading<Static<S>> {
  const names = Object.keys(schema.properties)
  const body = typeof source === 'object' && source !== null ? source : {}
  const values: Record<string, string | string[]> = {}
  const data: Record<string, unknown> = {}
  for (const name of names) {
    const value: unknown = Object.hasOwn(body, name) ? Reflect.get(body, name) : undefined
    const typed = [value].flat().filter((each) => typeof each === 'string')
    values[name] = Array.isArray(value) ? typed : (typed[0] ?? '')
    const filled = typed.map((each) => each.trim()).filter((each) => each !== '')
    if (filled.length === 0) continue
    data[name] = isList(schema.properties[name]) ? filled : filled[0]
  }
  const validate = request.compileValidationSchema(schema)
  if (validate(data))
    return { isValid: true, data: data as Static<S>, form: { values, errors: {} } }
  const [error] = validate.errors ?? []
  const field = fieldOf(error)
  const text = explainValidation(validate.errors ?? [], 'body', false)
  return {
    isValid: false,
    form: { values, errors: { [names.includes(field) ? field : '']: tidy(text) } },
  }
}

/**
 * Adds the refusal of a service to a form, beside `field` or above all fields. Throws everything
 * that the person who filled in the form cannot correct.
 */
export function refusedForm(form: Form, error: unknown, field = ''): Form {
  if (!(error instanceof BrokerError) || error.statusCode >= 500) throw error
  const remedy = error.members.remedy
  const text = typeof remedy === 'string' ? `${error.message} ${remedyText(remedy)}` : error.message
  return { ...form, errors: { ...form.errors, [field]: text } }
}

function isList(schema: unknown): boolean {
  return (schema as { type?: string }).type === 'array'
}

function fieldOf(error: { instancePath?: string; params?: unknown } | undefined): string {
  const [, field] = error?.instancePath?.split('/') ?? []
  const { missingProperty } = (error?.params ?? {}) as { missingProperty?: string }
  return field ?? missingProperty ?? ''
}

/** Removes the name of the field from a text that is shown beside the field. */
function tidy(text: string): string {
  const said = text.replace(/^[\w.[\]]+: /, '')
  const sentence = said === 'it is missing.' ? 'Fill this in.' : said
  return sentence.charAt(0).toUpperCase() + sentence.slice(1)
}
