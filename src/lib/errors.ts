/** HTTP status, title and remedy of each error code. */
export const ERRORS = {
  bad_request: [400, 'The request is malformed', 'Correct the field that `detail` names.'],
  unauthorized: [
    401,
    'The key is not valid',
    'Send "Authorization: Bearer <key>" with a key of this broker.',
  ],
  forbidden: [
    403,
    'Access denied',
    'Ask an operator for a grant on this account, or for the role.',
  ],
  not_found: [404, 'No such resource', 'Check the path; GET /docs lists all operations.'],
  account_not_found: [
    404,
    'No such account',
    'Connect it: POST /connect-links, then open the link in a browser.',
  ],
  integration_not_found: [
    404,
    'No such integration',
    'Create it with PUT /integrations/:integration, or set AMO_CLIENT_ID, AMO_CLIENT_SECRET and AMO_REDIRECT_URI (or KOMMO_…) and restart.',
  ],
  unknown_generation: [
    400,
    'The generation is not known',
    'Send the generation of the response that the token came with.',
  ],
  client_not_found: [404, 'No such client', 'GET /clients lists the clients and their keys.'],
  client_exists: [
    409,
    'The client name is in use',
    'Choose another name: names of revoked clients cannot be used again. For a new key: POST /clients/:client/keys.',
  ],
  account_exists: [
    409,
    'The account exists already',
    'Nothing to do if the stored pair is the newer one. To replace it, send If-Match with `generation`.',
  ],
  generation_moved: [
    412,
    'The generation has changed',
    'Look at GET /accounts/:account again: the account may have a newer pair.',
  ],
  import_refused: [
    422,
    'The tokens cannot be imported',
    'Correct what `detail` names; nothing was stored.',
  ],
  shadow_outdated: [
    409,
    'The other service has replaced the pair',
    'Stop the other service, then import its newest pair with If-Match and without shadow.',
  ],
  onboarding_failed: [
    422,
    'The account was not connected',
    'Follow the remedy of the outcome; a code works only once.',
  ],
  onboarding_not_found: [
    404,
    'No such onboarding',
    'GET /onboardings lists all onboardings, the newest first.',
  ],
  link_not_found: [404, 'No such link', 'GET /connect-links lists the links, the newest first.'],
  exchange_refused: [
    422,
    'The provider refused the API key',
    'Check the login, the API key, and that the integration is installed in the account.',
  ],
  exchange_too_soon: [
    429,
    'The provider allows one exchange in five minutes',
    'Wait for Retry-After; the limit is per user and integration.',
  ],
  exchange_not_found: [
    404,
    'No such exchange',
    'Use the id that POST /accounts/exchange-api-key returned.',
  ],
  endpoint_not_found: [404, 'No such endpoint', 'GET /endpoints lists the endpoints.'],
  endpoint_exists: [
    409,
    'The endpoint exists already',
    'Choose another name, or change the endpoint with PATCH /endpoints/:endpoint.',
  ],
  endpoint_disabled: [
    409,
    'The endpoint is disabled',
    'Enable it first: POST /endpoints/:endpoint/enable.',
  ],
  delivery_not_found: [
    404,
    'No such delivery',
    'GET /endpoints/:endpoint/deliveries lists them; one that waits cannot be sent again.',
  ],
  integration_in_use: [
    409,
    'The integration has accounts',
    'Remove its accounts first: DELETE /accounts/:account.',
  ],
  client_secret_needed: [
    403,
    'The change needs the client secret that the provider has accepted',
    'Send it as client_secret: the changed field decides where secrets are sent.',
  ],
  request_timeout: [408, 'The request took too long', 'Send it again.'],
  reauth_required: [
    409,
    'A person must authorize the account again',
    'Open connect_url, or a link from POST /connect-links, in a browser as an administrator of the account.',
  ],
  disconnected: [
    409,
    'The account was disconnected',
    'Install the integration again, or connect the account with POST /connect-links.',
  ],
  pending: [409, 'The account awaits approval', 'Let an operator approve or remove it.'],
  ambiguous_account: [
    409,
    'The name fits accounts of several integrations',
    'Add ?integration=, or use the whole domain or the account id.',
  ],
  too_many_requests: [
    429,
    'Too many requests from this address',
    'Wait for Retry-After. The internal listener counts only requests with a wrong key: correct the key.',
  ],
  too_many_reports: [
    429,
    'This client has reported the account too often',
    'Wait for Retry-After. The provider accepted the reported token: compare the token, the host and the rights of the failing request.',
  ],
  too_many_streams: [
    429,
    'Too many event streams are open',
    'Close streams that nobody reads, or share one among the processes of a service.',
  ],
  payload_too_large: [413, 'The request is too large', 'Send a smaller body.'],
  unsupported_media_type: [
    415,
    'The media type is not supported',
    'Send JSON with "Content-Type: application/json", or no body where none is needed.',
  ],
  internal_error: [500, 'The broker failed', 'Search the broker’s log for request_id.'],
  refresh_pending: [503, 'The token is being refreshed', 'Ask again after Retry-After seconds.'],
  provider_unavailable: [
    503,
    'No token can be obtained now',
    'Ask again after Retry-After seconds; GET /accounts/:account shows the last error.',
  ],
  storage_unavailable: [
    503,
    'The broker’s storage does not answer, or accepts no writes',
    'Ask again after Retry-After seconds; GET /health/ready names what is down.',
  ],
  key_missing: [
    503,
    'An encryption key is not loaded',
    'Put the key that the log names back into ENCRYPTION_KEYS.',
  ],
} as const satisfies Record<string, readonly [status: number, title: string, remedy: string]>

export type ErrorCode = keyof typeof ERRORS

interface ErrorExtras {
  retryAfterSeconds?: number
  /** Additional members of the problem document. Never a secret. */
  members?: Record<string, string | number | string[]>
  cause?: unknown
}

/** Retry-After of a 503 that names no better time. */
const RETRY_SECONDS = 2

/**
 * An error that reaches a caller. `detail` describes what is wrong with this request. It contains
 * no secret.
 */
export class BrokerError extends Error {
  override readonly name = 'BrokerError'
  readonly code: ErrorCode
  readonly retryAfterSeconds: number | undefined
  readonly members: Record<string, string | number | string[]>

  constructor(code: ErrorCode, detail: string, extras: ErrorExtras = {}) {
    super(detail, extras.cause === undefined ? undefined : { cause: extras.cause })
    this.code = code
    const { retryAfterSeconds } = extras
    this.retryAfterSeconds =
      retryAfterSeconds ?? (this.statusCode === 503 ? RETRY_SECONDS : undefined)
    this.members = extras.members ?? {}
  }

  get statusCode(): number {
    return ERRORS[this.code][0]
  }
}

/** Only an operator ends this. */
const KEY_RETRY_SECONDS = 60

/** A sealed value needs a key that is not in ENCRYPTION_KEYS. */
export class KeyMissing extends BrokerError {
  readonly keyId: string

  constructor(keyId: string) {
    super('key_missing', `The encryption key "${keyId}" is not loaded.`, {
      retryAfterSeconds: KEY_RETRY_SECONDS,
    })
    this.keyId = keyId
  }
}

/** A sealed value was altered, or was moved from the place that it was sealed for. */
export class SealBroken extends Error {
  override readonly name = 'SealBroken'

  constructor(place: string) {
    super(`a sealed value in ${place} does not open at its place`)
  }
}
