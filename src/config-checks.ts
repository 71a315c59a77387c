import { closest, distance } from 'fastest-levenshtein'

/** Two typing errors at the most: more of them also join names that have nothing in common. */
const NEAR_MISS = 2
const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]'])

/** One line a problem, each naming the setting and what to do. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.problems = problems
  }
}

/** A URL may hold a password, so only the setting's name is told. Plain http is for loopback alone. */
export function checkUrl(
  name: string,
  text: string,
  protocols: string[],
  problems: string[],
): void {
  if (!text) return
  const url = URL.parse(text)
  if (url === null || !protocols.includes(url.protocol)) {
    problems.push(`${name} must be a URL that starts with ${protocols.join('// or ')}//`)
  } else if (url.protocol === 'http:' && !LOOPBACK.has(url.hostname)) {
    problems.push(`${name} must be https: plain http is taken for localhost alone`)
  }
}

/** Per account, a token of 1 KB: 3.2 KB were measured. */
const CACHED_ACCOUNT_BYTES = 4_096
const MIB = 2 ** 20

/** Better no start than a process that ends as soon as all these accounts are read. At most half of the heap: the rest is for work. */
export function checkCache(accounts: number, heapLimitBytes: number, problems: string[]): void {
  const neededBytes = 2 * accounts * CACHED_ACCOUNT_BYTES
  if (neededBytes <= heapLimitBytes) return
  problems.push(
    `CACHE_ACCOUNTS=${accounts} needs a heap of ${Math.ceil(neededBytes / MIB)} MB, and it may have ` +
      `${Math.floor(heapLimitBytes / MIB)}: raise --max-old-space-size in NODE_OPTIONS, or hold fewer`,
  )
}

/** Empty for what is no URL: `checkUrl` has named it then. */
export function originOf(text: string): string {
  return URL.parse(text)?.origin ?? ''
}

/** Names that are almost the one of a setting: whoever wrote them meant that one. */
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
