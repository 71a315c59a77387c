import { closest, distance } from 'fastest-levenshtein'
import type { Settings } from './settings.ts'

/** Two typing errors at most: with more, names that have nothing in common would match. */
const NEAR_MISS = 2
const MIN_OPERATOR_KEY_LENGTH = 24
/** 24 random characters of an alphabet of 16 or more have more, a repeated word has fewer. */
const MIN_DIFFERENT_CHARACTERS = 8
/** Memory for one cached account with a token of 1 KB; 3.2 KB were measured. */
const CACHED_ACCOUNT_BYTES = 4_096
const MIB = 2 ** 20

/** Settings that are wrong. Each problem is one line that names the setting and says what to do. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.problems = problems
  }
}

/** Checks the settings that depend on whether storage is embedded. */
export function checkStorage(read: Settings, problems: string[]): void {
  if (read.DATABASE_URL) {
    if (!read.DEPLOYMENT_ID) {
      problems.push(
        'DEPLOYMENT_ID is missing: name this deployment, such as "production"; no other deployment may have this name',
      )
    }
    if (!read.OPERATOR_KEY) {
      problems.push('OPERATOR_KEY is missing: make one with amo-broker keygen')
    }
    return
  }
  if (read.REDIS_URL) {
    problems.push('REDIS_URL is set without DATABASE_URL: set both, or neither (embedded mode)')
  }
  if (read.DATABASE_DIRECT_URL) {
    problems.push('DATABASE_DIRECT_URL is set without DATABASE_URL: set both, or neither')
  }
}

/** Refuses an operator key that is short or simple enough to be guessed. */
export function checkOperatorKey({ OPERATOR_KEY }: Settings, problems: string[]): void {
  if (!OPERATOR_KEY) return
  if (OPERATOR_KEY.length < MIN_OPERATOR_KEY_LENGTH) {
    problems.push(
      `OPERATOR_KEY must have at least ${MIN_OPERATOR_KEY_LENGTH} characters: make one with amo-broker keygen`,
    )
  } else if (new Set(OPERATOR_KEY).size < MIN_DIFFERENT_CHARACTERS) {
    problems.push('OPERATOR_KEY is not random: make one with amo-broker keygen')
  }
}

/**
 * Refuses to run without checks of certificates: anybody on the way to PostgreSQL, Redis or a
 * webhook could read what is sent there.
 */
export function checkCertificateChecks(variables: NodeJS.ProcessEnv, problems: string[]): void {
  if (variables.NODE_TLS_REJECT_UNAUTHORIZED !== '0') return
  problems.push(
    'NODE_TLS_REJECT_UNAUTHORIZED=0 switches off all checks of certificates: remove it, and name a private authority in NODE_EXTRA_CA_CERTS',
  )
}

/**
 * Refuses a cache that would take more than half of the heap: the process would end once it fills
 * up.
 */
export function checkCache(accounts: number, heapLimitBytes: number, problems: string[]): void {
  const neededBytes = 2 * accounts * CACHED_ACCOUNT_BYTES
  if (neededBytes <= heapLimitBytes) return
  problems.push(
    `CACHE_ACCOUNTS=${accounts} needs a heap of ${Math.ceil(neededBytes / MIB)} MB, and the limit is ` +
      `${Math.floor(heapLimitBytes / MIB)} MB: raise --max-old-space-size in NODE_OPTIONS, or cache fewer`,
  )
}

/** Names variables whose name is almost the name of a setting. */
export function nearMisses(variables: NodeJS.ProcessEnv, known: string[]): string[] {
  const problems = []
  for (const [name, value] of Object.entries(variables)) {
    // The sandbox has settings of its own, which may stand in the same .env.
    if (!value || known.includes(name) || name.startsWith('SANDBOX_')) continue
    const candidate = closest(name.toUpperCase(), known)
    if (distance(name.toUpperCase(), candidate) <= NEAR_MISS) {
      problems.push(`${name} is not a setting: did you mean ${candidate}?`)
    }
  }
  return problems
}
