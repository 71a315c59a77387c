import {
  type ApiDocument,
  type ApiMedia,
  type ApiOperation,
  type ApiSchema,
  type Json,
  operationsOf,
} from './api-document.ts'
import { ExampleBuilder } from './build-example.ts'
import { addHeaderParameters, addResponseHeaders } from './headers.ts'
import { shareProblems } from './problem-components.ts'

/** Examples of responses that are not JSON, by media type. */
const TEXT_EXAMPLES: Record<string, string> = {
  'text/event-stream':
    'id: 4711\nevent: account.recovered\ndata: {"id":"6f0d2f3e-8c55-4d51-a7f6-0b1c7f6f9a10",…}\n\n',
  'text/html': '<!doctype html><html lang="en"><title>demo.amocrm.ru is connected</title>…</html>',
  'text/plain':
    '# TYPE amo_refreshes_total counter\namo_refreshes_total{integration="amocrm"} 17\n',
}

/**
 * Adds to a generated document what every operation needs and no route repeats: examples, headers,
 * and whether a key is needed. Changes `document`.
 */
export function completeDocument(document: ApiDocument, { isOpen }: { isOpen: boolean }): void {
  const examples = new ExampleBuilder(document.components.schemas)
  for (const operation of operationsOf(document)) {
    if (isOpen) operation.security = []
    addHeaderParameters(operation)
    addParameterExamples(operation, examples)
    addBodyExamples(operation, examples)
    completeResponses(operation, examples)
  }
  shareProblems(document)
  removeUnusedSchemas(document)
  addMissingTypes(document)
}

/** Optional parameters have none, because Swagger UI would send it with every request. */
function addParameterExamples(operation: ApiOperation, examples: ExampleBuilder): void {
  for (const parameter of operation.parameters ?? []) {
    const { name, schema = {}, required } = parameter
    if (required) parameter.example = examples.build(schema, operation.operationId, name)
  }
}

/** Adds an example of the body, or one for each kind of body. */
function addBodyExamples(operation: ApiOperation, examples: ExampleBuilder): void {
  const { operationId, requestBody } = operation
  for (const media of Object.values(requestBody?.content ?? {})) {
    const { schema = {} } = media
    if (schema.anyOf === undefined) {
      media.example = examples.build(schema, operationId, '')
      continue
    }
    const named = schema.anyOf.map((option): [string, { value: Json }] => {
      const [name = ''] = Object.keys(option.properties ?? {})
      return [name, { value: examples.build(option, operationId, '') }]
    })
    media.examples = Object.fromEntries(named)
  }
}

function completeResponses(operation: ApiOperation, examples: ExampleBuilder): void {
  const { operationId, responses } = operation
  for (const [status, response] of Object.entries(responses)) {
    addResponseHeaders(operationId, status, response)
    for (const [type, media] of Object.entries(response.content ?? {})) {
      if (media.examples === undefined) media.example = exampleOf(media, type)
    }
  }

  function exampleOf({ schema = {} }: ApiMedia, type: string): Json {
    return TEXT_EXAMPLES[type] ?? examples.build(schema, operationId, '')
  }
}

/** Removes schemas that only operations of the other listener use. */
function removeUnusedSchemas(document: ApiDocument): void {
  const { schemas } = document.components
  const text = JSON.stringify(document)
  const unused = Object.keys(schemas).filter(
    (name) => !text.includes(`"#/components/schemas/${name}"`),
  )
  for (const name of unused) delete schemas[name]
  if (unused.length > 0) removeUnusedSchemas(document)
}

/** Adds the type of enumerations, which generators for typed languages need. */
function addMissingTypes(node: unknown): void {
  if (typeof node !== 'object' || node === null) return
  if (isTextEnum(node)) node.type = 'string'
  for (const child of Object.values(node)) addMissingTypes(child)
}

function isTextEnum(node: ApiSchema): node is ApiSchema {
  const { type, enum: values } = node
  if (type !== undefined || !Array.isArray(values)) return false
  return values.every((value) => typeof value === 'string')
}
