import { BrokerError } from '../errors.ts'

/**
 * A time as `date-time` lets it through, such as a leap second, which is more than JavaScript and PostgreSQL know.
 * Throws `bad_request`, naming the field.
 */
export function readInstant(field: string, text: string | undefined): Date | undefined {
  if (text === undefined) return undefined
  const time = new Date(text)
  if (!Number.isNaN(time.getTime())) return time
  throw new BrokerError('bad_request', `${field}: there is no such time.`)
}
