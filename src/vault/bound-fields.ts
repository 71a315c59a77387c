/** The fields of an integration that decide where its secret, its codes and its tokens are sent. */
export interface BoundFields {
  provider: string
  clientId: string
  redirectUri: string
  sandboxOrigin: string | null
  /** Overrides of the provider's profile. Members that are not in OVERRIDES are not read. */
  profile: object
}

/** The fields of a profile that an integration may override. */
export const OVERRIDES = [
  'authorizeUrl',
  'authorizeParameters',
  'scopes',
  'tokenUrl',
  'encoding',
  'probe',
] as const

/**
 * Returns these fields in an order that does not depend on how jsonb stores them. They are part of
 * what is sealed or hashed, so the result must stay the same for the same fields.
 */
export function boundFields(fields: BoundFields): unknown[] {
  const { provider, clientId, redirectUri, sandboxOrigin, profile } = fields
  const members = new Map<string, unknown>(Object.entries(profile))
  const overrides = OVERRIDES.map((name) => sorted(members.get(name)))
  return [provider, clientId, redirectUri, sandboxOrigin, ...overrides]
}

function sorted(value: unknown): unknown {
  if (value === undefined) return null
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
}
