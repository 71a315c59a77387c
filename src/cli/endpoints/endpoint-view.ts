import type { Static } from 'typebox'
import type { DeliverySchema, EndpointSchema } from '../../contract/endpoints.ts'
import { UsageError } from '../common/failure.ts'
import { printFields, printJson, relative, type Table, timeText } from '../common/output.ts'

export type Endpoint = Static<typeof EndpointSchema>
export type Delivery = Static<typeof DeliverySchema>

export interface EndpointWithSecret {
  endpoint: Endpoint
  signing_secret: string | null
}

export const ENDPOINT_NAME = ['<endpoint>', 'name of the endpoint'] as const

export const ENDPOINT_TABLE: Table<Endpoint> = {
  columns: [
    { title: 'ENDPOINT', of: ({ name }) => name },
    { title: 'KIND', of: ({ kind }) => kind },
    { title: 'TO', of: ({ origin }) => origin },
    { title: 'STATE', of: stateOf },
    { title: 'DELIVERED', of: (endpoint) => relative(endpoint.last_success_at) },
    { title: 'LAST ERROR', of: (endpoint) => endpoint.last_error },
  ],
  empty: 'no endpoints: amo-broker endpoints create makes one',
}

/** Returns the path of an endpoint, or of something below it. Throws `UsageError`. */
export function endpointPath(name: string, below = ''): string {
  if (name === '') throw new UsageError('the name of the endpoint is empty')
  return `/endpoints/${encodeURIComponent(name)}${below}`
}

/** Prints one endpoint in full. */
export function showEndpoint(endpoint: Endpoint, json: true | undefined): void {
  if (json) {
    printJson(endpoint)
    return
  }
  printFields({
    endpoint: endpoint.name,
    kind: endpoint.kind,
    to: endpoint.origin,
    state: stateOf(endpoint),
    types: endpoint.types?.join(' ') ?? 'all',
    integrations: endpoint.integrations?.join(' ') ?? 'all',
    grouped: endpoint.grouped ? 'yes' : 'no',
    language: endpoint.kind === 'webhook' ? undefined : endpoint.language,
    'last delivery': timeText(endpoint.last_success_at),
    'failing since': endpoint.failing_since === null ? undefined : timeText(endpoint.failing_since),
    'last error': endpoint.last_error ?? undefined,
    'old secret until':
      endpoint.previous_secret_until === null
        ? undefined
        : timeText(endpoint.previous_secret_until),
    created: `${timeText(endpoint.created_at)} by ${endpoint.created_by}`,
  })
}

/** Prints a new secret on standard output and everything else on standard error. */
export function showSecret(
  { endpoint, signing_secret }: EndpointWithSecret,
  json: true | undefined,
): void {
  if (json) printJson({ endpoint, signing_secret })
  else if (signing_secret === null) showEndpoint(endpoint, json)
  else {
    console.log(signing_secret)
    console.error(
      `Signing secret of ${endpoint.name}. Save it at the receiver now; it is not shown again.`,
    )
  }
}

function stateOf({ state, disabled_reason, failing_since }: Endpoint): string {
  if (state === 'disabled') return `disabled (${disabled_reason})`
  return failing_since === null ? state : `failing since ${relative(failing_since)}`
}
