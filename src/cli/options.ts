import { InvalidArgumentError } from '@commander-js/extra-typings'

/** What options and arguments of several commands are called, and how their texts are read. */
export const JSON_FLAG = ['--json', 'one JSON document instead of text'] as const
export const ACCOUNT = ['<account>', 'account id, domain or subdomain'] as const
export const INTEGRATION_OF_ACCOUNT = [
  '--integration <name>',
  'where the name fits accounts of several integrations',
] as const

export function wholeNumber(text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError('It must be a whole number above 0.')
  return Number(text)
}

export function positiveNumber(text: string): number {
  const number = Number(text)
  if (!(number > 0)) throw new InvalidArgumentError('It must be a number above 0.')
  return number
}

/** ISO 8601, to what the broker takes. */
export function time(text: string): string {
  const ms = Date.parse(text)
  if (Number.isNaN(ms)) throw new InvalidArgumentError('It must be a time such as 2026-11-25.')
  return new Date(ms).toISOString()
}
