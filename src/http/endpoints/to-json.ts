import type { Static } from 'typebox'
import type { DeliverySchema, EndpointSchema } from '../../contract/endpoints.ts'
import type { ListedDelivery } from '../../deliveries/list.ts'
import type { WithSecret } from '../../endpoints/service.ts'
import type { Endpoint } from '../../endpoints/store.ts'

/** Renders an endpoint. Of its URL only the origin is shown. */
export function endpointToJson(endpoint: Endpoint): Static<typeof EndpointSchema> {
  return {
    name: endpoint.name,
    kind: endpoint.kind,
    origin: endpoint.origin,
    language: endpoint.language,
    types: endpoint.types,
    integrations: endpoint.integrations,
    grouped: endpoint.grouped,
    state: endpoint.state,
    disabled_reason: endpoint.disabledReason,
    failing_since: isoOrNull(endpoint.failingSince),
    last_success_at: isoOrNull(endpoint.lastSuccessAt),
    last_error: endpoint.lastErrorCode,
    previous_secret_until: isoOrNull(endpoint.previousUntil),
    created_by: endpoint.createdBy,
    created_at: endpoint.createdAt.toISOString(),
    updated_at: endpoint.updatedAt.toISOString(),
  }
}

/** Renders a new secret. No other response contains one. */
export function withSecretToJson({ endpoint, signingSecret }: WithSecret) {
  return {
    endpoint: endpointToJson(endpoint),
    signing_secret: signingSecret === null ? null : signingSecret.reveal(),
  }
}

/** Renders a delivery with its attempts. */
export function deliveryToJson(delivery: ListedDelivery): Static<typeof DeliverySchema> {
  return {
    id: delivery.id,
    webhook_id: delivery.messageId,
    type: delivery.type,
    grouping: delivery.kind,
    events: delivery.eventIds.length,
    integration: delivery.integration,
    account_id: delivery.accountId,
    state: delivery.state,
    failed_attempts: delivery.attempts,
    next_attempt_at: delivery.state === 'pending' ? delivery.nextAttemptAt.toISOString() : null,
    last_status: delivery.lastStatus,
    last_error: delivery.lastError,
    attempts: delivery.history.map(({ at, status, code, ms, excerpt }) => ({
      at: new Date(at).toISOString(),
      status: status ?? null,
      error: code ?? null,
      ms,
      response: excerpt ?? null,
    })),
    created_at: delivery.createdAt.toISOString(),
    finished_at: isoOrNull(delivery.finishedAt),
  }
}

function isoOrNull(time: Date | null): string | null {
  return time === null ? null : time.toISOString()
}
