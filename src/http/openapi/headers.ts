import type { ApiOperation, ApiParameter, ApiResponse } from './api-document.ts'
import { EXAMPLE_VALUES } from './example-values.ts'

const ETAG = 'changes when another token, promise or warning is handed out'

/** Response headers of one operation, by its id and the status. */
const RESPONSE_HEADERS: Record<string, Record<string, string>> = {
  'readToken 200': { ETag: ETAG },
  'readToken 304': { ETag: ETAG },
  'reportToken 200': { ETag: ETAG },
}

/** Header parameters that the schema of the route does not have, because a hot path reads them. */
const HEADER_PARAMETERS: Record<string, Record<string, string>> = {
  readToken: { 'If-None-Match': '`ETag` of an earlier response: 304 if nothing has changed' },
}

/** Adds the headers that an operation reads, and writes the names of the others as HTTP does. */
export function addHeaderParameters(operation: ApiOperation): void {
  const { operationId, parameters = [] } = operation
  for (const parameter of parameters) {
    if (parameter.in === 'header') parameter.name = toHeaderCase(parameter.name)
  }
  const added = Object.entries(HEADER_PARAMETERS[operationId] ?? {}).map(
    ([name, description]): ApiParameter => ({
      name,
      in: 'header',
      required: false,
      description,
      schema: { type: 'string' },
    }),
  )
  if (added.length > 0) operation.parameters = [...parameters, ...added]
}

/** Adds the headers of a response: those of the table, and the target of a redirect. */
export function addResponseHeaders(operationId: string, status: string, to: ApiResponse): void {
  const known = { ...RESPONSE_HEADERS[`${operationId} ${status}`] }
  if (/^30[12378]$/.test(status)) known.Location = 'where to go'
  const added = Object.entries(known).map(([name, description]) => [
    name,
    { description, schema: { type: 'string' } },
  ])
  const headers: NonNullable<ApiResponse['headers']> = {
    ...to.headers,
    ...Object.fromEntries(added),
  }
  if (Object.keys(headers).length === 0) return
  for (const [name, header] of Object.entries(headers)) {
    const example = EXAMPLE_VALUES[name.toLowerCase()]
    if (example !== undefined) header.example = example
  }
  to.headers = headers
}

function toHeaderCase(name: string): string {
  return name.replaceAll(/(?:^|-)[a-z]/g, (start) => start.toUpperCase())
}
