import { BrokerError } from '../lib/errors.ts'

/**
 * Parses a time that passed the format `date-time`, which allows more than JavaScript and
 * PostgreSQL do, such as a leap second. Throws `bad_request` with the name of the field.
 */
export function readInstant(field: string, text: string | undefined): Date | undefined {
  if (text === undefined) return undefined
  const time = new Date(text)
  if (!Number.isNaN(time.getTime())) return time
  throw new BrokerError('bad_request', `${field}: this time does not exist.`)
}
