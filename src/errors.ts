/** What the code of an error means to a caller: HTTP status, title, and what to do. The README shows this table. */
export const ERRORS = {
  bad_request: [400, 'The request is malformed', 'Correct the field that the detail names.'],
  unauthorized: [
    401,
    'No valid key',
    'Send "Authorization: Bearer <key>" with a key of this broker.',
  ],
  forbidden: [403, 'Not granted', 'Ask an operator for a grant on this account.'],
  not_found: [404, 'No such resource', 'Check the path; GET /docs lists what there is.'],
  account_not_found: [
    404,
    'No such account',
    'Onboard it: POST /connect-links, then open the link in a browser.',
  ],
  integration_not_found: [
    404,
    'No such integration',
    'Set AMO_CLIENT_ID, AMO_CLIENT_SECRET and AMO_REDIRECT_URI (or KOMMO_…) and start again.',
  ],
  client_not_found: [404, 'No such client', 'GET /clients lists the clients and their keys.'],
  client_exists: [
    409,
    'The name of the client is taken',
    'Choose another name: a revoked one is never given again. For a new key: POST /clients/:client/keys.',
  ],
  account_exists: [
    409,
    'The broker has a pair of this account',
    'To replace it, send If-Match with the generation that GET /accounts/:account shows.',
  ],
  generation_moved: [
    412,
    'The account has another generation',
    'Look at GET /accounts/:account again: a newer pair may be there.',
  ],
  import_refused: [
    422,
    'The tokens cannot be imported',
    'Correct what the detail names; nothing was stored.',
  ],
  shadow_outdated: [
    409,
    'The other service has replaced the pair',
    'Stop the other service, then import its newest pair with If-Match and without shadow.',
  ],
  onboarding_failed: [
    422,
    'The account was not connected',
    'Do what the remedy of the outcome says; a code works once.',
  ],
  onboarding_not_found: [
    404,
    'No such onboarding',
    'GET /onboardings lists what came in, the newest first.',
  ],
  exchange_refused: [
    422,
    'The provider refused the API key',
    'Check login, API key and whether the integration is installed in the account.',
  ],
  exchange_too_soon: [
    429,
    'The provider takes one exchange in five minutes',
    'Wait for Retry-After: it counts by user and integration.',
  ],
  exchange_not_found: [
    404,
    'No such exchange',
    'POST /accounts/exchange-api-key answers with its id.',
  ],
  integration_in_use: [
    409,
    'The integration has accounts',
    'Remove them first: DELETE /accounts/:account.',
  ],
  client_secret_needed: [
    403,
    'The change needs the present client secret',
    'Send client_secret along: a field that holds a host decides where it goes.',
  ],
  request_timeout: [408, 'The request took too long', 'Send it again.'],
  reauth_required: [
    409,
    'A person must authorize the account again',
    'Make a link with POST /connect-links and open it in a browser as an administrator of the account.',
  ],
  disconnected: [
    409,
    'The account was disconnected',
    'Install the integration again, or onboard the account with POST /connect-links.',
  ],
  pending: [
    409,
    'The account awaits approval',
    'Let an operator look at it and approve it, or remove it.',
  ],
  ambiguous_account: [
    409,
    'The name fits accounts of several integrations',
    'Add ?integration= or use the account id.',
  ],
  too_many_requests: [
    429,
    'Too many requests from this address',
    'Wait for Retry-After. On the internal listener only failed keys count: correct the key.',
  ],
  too_many_reports: [
    429,
    'The account was reported too often',
    'Wait for Retry-After, and use the token that GET /tokens/:account gives.',
  ],
  payload_too_large: [413, 'The request is too large', 'Send a smaller body.'],
  internal_error: [500, 'The broker failed', 'Look up request_id in the broker’s log.'],
  refresh_pending: [503, 'The token is being refreshed', 'Ask again after Retry-After seconds.'],
  provider_unavailable: [
    503,
    'The provider gives no token at present',
    'Ask again after Retry-After seconds; GET /accounts/:account shows the last error.',
  ],
  storage_unavailable: [
    503,
    'The broker’s storage does not answer',
    'Ask again after Retry-After seconds; GET /health/ready names what is down.',
  ],
  key_missing: [
    503,
    'The encryption key of this account is not loaded',
    'Put the key that the log names back into ENCRYPTION_KEYS.',
  ],
} as const satisfies Record<string, readonly [status: number, title: string, remedy: string]>

export type ErrorCode = keyof typeof ERRORS

export interface ErrorExtras {
  retryAfterSeconds?: number
  /** Members that the problem document gets besides the standard ones. Never a secret. */
  members?: Record<string, string | number | string[]>
  cause?: unknown
}

/** Every error that reaches a caller. `detail` says what is wrong with this request and holds no secret. */
export class BrokerError extends Error {
  override readonly name = 'BrokerError'
  readonly code: ErrorCode
  readonly retryAfterSeconds: number | undefined
  readonly members: Record<string, string | number | string[]>

  constructor(code: ErrorCode, detail: string, extras: ErrorExtras = {}) {
    super(detail, extras.cause === undefined ? undefined : { cause: extras.cause })
    this.code = code
    this.retryAfterSeconds = extras.retryAfterSeconds
    this.members = extras.members ?? {}
  }

  get statusCode(): number {
    return ERRORS[this.code][0]
  }
}

/** A sealed value names a key that ENCRYPTION_KEYS does not hold. */
export class KeyMissing extends BrokerError {
  readonly keyId: string

  constructor(keyId: string) {
    super('key_missing', `The encryption key "${keyId}" is not loaded.`)
    this.keyId = keyId
  }
}

/** A sealed value was altered, or stands where it was not sealed. */
export class SealBroken extends Error {
  override readonly name = 'SealBroken'

  constructor(place: string) {
    super(`a sealed value in ${place} does not open at its place`)
  }
}
