/** A JSON value of an example. */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json }

/** The keywords of JSON Schema that the routes use. */
export interface ApiSchema {
  $ref?: string
  type?: string | string[]
  const?: Json
  enum?: Json[]
  default?: Json
  minimum?: number
  properties?: Record<string, ApiSchema>
  required?: string[]
  items?: ApiSchema
  additionalProperties?: boolean | ApiSchema
  anyOf?: ApiSchema[]
  allOf?: ApiSchema[]
  description?: string
}

interface ApiExample {
  $ref?: string
  summary?: string
  value?: Json
}

export interface ApiMedia {
  schema?: ApiSchema
  example?: Json
  examples?: Record<string, ApiExample>
}

export interface ApiParameter {
  name: string
  in: string
  required?: boolean
  description?: string
  schema?: ApiSchema
  example?: Json
}

export interface ApiResponse {
  $ref?: string
  description?: string
  headers?: Record<string, { description: string; schema: ApiSchema; example?: Json }>
  content?: Record<string, ApiMedia>
}

export interface ApiOperation {
  operationId: string
  security?: Record<string, string[]>[]
  parameters?: ApiParameter[]
  requestBody?: { description?: string; content: Record<string, ApiMedia> }
  responses: Record<string, ApiResponse>
}

/** The parts of an OpenAPI document that are completed here. */
export interface ApiDocument {
  components: {
    schemas: Record<string, ApiSchema>
    responses?: Record<string, ApiResponse>
    examples?: Record<string, ApiExample>
  }
  paths: Record<string, Record<string, ApiOperation>>
}

/** Yields every operation of a document. */
export function* operationsOf({ paths }: ApiDocument): Generator<ApiOperation> {
  for (const methods of Object.values(paths)) yield* Object.values(methods)
}
