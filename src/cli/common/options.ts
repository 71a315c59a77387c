import { InvalidArgumentError } from '@commander-js/extra-typings'

/** Arguments and options that several commands share. */
export const JSON_FLAG = ['--json', 'print JSON instead of text'] as const
export const YES_FLAG = ['--yes', 'do not ask for confirmation'] as const
export const ACCOUNT = ['<account>', 'account id, domain or subdomain'] as const
export const INTEGRATION_OF_ACCOUNT = [
  '--integration <name>',
  'required if the name fits accounts of several integrations',
] as const

/** Parses a whole number above 0. */
export function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text)) {
    throw new InvalidArgumentError('It must be a whole number above 0.')
  }
  return Number(text)
}

/** Parses a number above 0. */
export function positiveNumber(text: string): number {
  const number = Number(text)
  if (!(number > 0 && number < Number.POSITIVE_INFINITY)) {
    throw new InvalidArgumentError('It must be a number above 0.')
  }
  return number
}

/** Parses a date or a time of ISO 8601. Returns the form that the API accepts. */
export function time(text: string): string {
  const ms = Date.parse(text)
  if (Number.isNaN(ms)) throw new InvalidArgumentError('It must be a time such as 2026-11-25.')
  return new Date(ms).toISOString()
}
