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
