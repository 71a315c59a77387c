import { createPrng } from '../../src/sandbox/prng.ts'

/** Bytes and texts that have broken parsers, databases and logs. */
const ODD = [
  '',
  ' ',
  '0',
  '-1',
  '1e999',
  'NaN',
  'null',
  'true',
  '[]',
  '{}',
  '*',
  '..',
  '../../etc/passwd',
  '%00',
  '%zz',
  '%E0%A4%A',
  '\u0000',
  '\u202e',
  '💥',
  'ß'.repeat(200),
  'x'.repeat(5_000),
  "' or 1=1 --",
  '"; drop table amo_tokens; --',
  '{{7*7}}',
  '__proto__',
  'constructor',
  '99999999999999999999999',
  '9007199254740993',
  '1.5',
  'demo',
  'DEMO.amocrm.ru',
  'amocrm',
  '2026-11-24T00:00:00Z',
  '0001-01-01T00:00:00Z',
  '9999-12-31T23:59:60Z',
  '00000000-0000-4000-8000-000000000000',
  'urn:uuid:00000000-0000-4000-8000-000000000000',
  'a\u0000b',
  '\ufeffx',
  '\ud800',
  'http://169.254.169.254',
  '64:ff9b::a9fe:a9fe',
  '999999999',
  'a'.repeat(63),
  'a'.repeat(64),
  '<script>',
  '\r\nx: y',
  'canary-input',
]
const METHODS = [
  'GET',
  'POST',
  'PUT',
  'DELETE',
  'PATCH',
  'HEAD',
  'OPTIONS',
  'TRACE',
  'QUERY',
  'NONSENSE',
]
const TYPES = [
  'application/json',
  'application/x-www-form-urlencoded',
  'text/plain',
  'application/json; charset=utf-8',
  'multipart/form-data; boundary=x',
  'application/xml',
  'x',
  '',
]

export interface Operation {
  method: string
  path: string
  parameters?: { name: string; in: string }[]
  properties: string[]
}

export interface Mutant {
  method: string
  path: string
  headers: Record<string, string>
  body: string | undefined
  /** The request carries no valid key. */
  isKeyless: boolean
}

/**
 * Generates nearly valid requests from the API description. The same seed gives the same requests.
 */
export function createMutator(operations: Operation[], key: string, seed: number) {
  const random = createPrng(seed)
  const pick = <T>(list: readonly [T, ...T[]] | readonly T[]): T =>
    list[Math.floor(random() * list.length)] as T
  const odds = (chance: number) => random() < chance

  function value(depth = 0): unknown {
    const kind = random()
    if (kind < 0.6) return pick(ODD)
    if (kind < 0.7) return Math.floor(random() * 1e16) - 5e15
    if (kind < 0.75) return null
    if (kind < 0.8) return odds(0.5)
    if (depth > 3) return []
    if (kind < 0.9) return Array.from({ length: Math.floor(random() * 4) }, () => value(depth + 1))
    return {
      [pick(ODD)]: value(depth + 1),
      account: value(depth + 1),
      integration: value(depth + 1),
    }
  }

  function bodyOf({ properties }: Operation): string {
    if (odds(0.1)) return pick(ODD)
    const body = Object.fromEntries(
      properties.filter(() => odds(0.7)).map((name) => [name, value()]),
    )
    if (odds(0.2)) body[pick(ODD)] = value()
    const text = JSON.stringify(body)
    return odds(0.1) ? text.slice(0, Math.floor(random() * text.length)) : text
  }

  function pathOf({ path, parameters = [] }: Operation): string {
    const raw = odds(0.2)
    const encode = (text: string) =>
      raw ? text.replace(/[^\x21-\x7e]/g, '') : encodeURIComponent(text.toWellFormed())
    const filled = path.replaceAll(/\{[^}]+\}/g, () => encode(pick(ODD)))
    const query = parameters
      .filter((each) => each.in === 'query' && odds(0.5))
      .map(({ name }) => `${name}=${encode(pick(ODD))}`)
    if (odds(0.1)) query.push(`${encode(pick(ODD))}=${encode(pick(ODD))}`)
    return filled + (query.length === 0 ? '' : `?${query.join('&')}`)
  }

  return function next(): Mutant {
    const operation = pick(operations)
    const method = odds(0.85) ? operation.method : pick(METHODS)
    const isKeyless = odds(0.5)
    const authorization = isKeyless
      ? pick([
          '',
          'Bearer',
          'Bearer ',
          'Basic eDp5',
          `Bearer ${key.slice(1)}`,
          `Bearer ${key} x`,
          'Bearer amo_broker_0123456789_',
          `Bearer ${'x'.repeat(9_000)}`,
        ])
      : `Bearer ${key}`
    const hasBody = !['GET', 'HEAD', 'TRACE'].includes(method) || odds(0.05)
    const isEmpty = odds(0.05)
    return {
      method,
      path: pathOf(operation),
      headers: {
        authorization,
        ...(odds(0.1) ? { 'x-forwarded-for': pick(ODD).replace(/[^\x20-\x7e]/g, '') } : {}),
        ...(odds(0.05) ? { 'x-request-id': pick(ODD).replace(/[^\x20-\x7e]/g, '') } : {}),
        ...(odds(0.05) ? { 'if-none-match': pick(ODD).replace(/[^\x20-\x7e]/g, '') } : {}),
        ...(hasBody ? { 'content-type': odds(0.8) ? 'application/json' : pick(TYPES) } : {}),
      },
      body: hasBody ? (isEmpty ? '' : bodyOf(operation)) : undefined,
      isKeyless,
    }
  }
}
