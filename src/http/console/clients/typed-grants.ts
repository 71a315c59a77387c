import { INTEGRATION_NAME } from '../../../contract/fields.ts'
import { BrokerError } from '../../../lib/errors.ts'

const ACCOUNT = /^(?:\*|[A-Za-z0-9][A-Za-z0-9.-]{0,252})$/
const MAX_GRANTS = 1_000

/** Reads grants, one in a line: `integration/account`. Throws `bad_request` that names the line. */
export function readGrants(text = ''): { integration: string; account: string }[] {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  if (lines.length > MAX_GRANTS) {
    throw new BrokerError('bad_request', `A client has at most ${MAX_GRANTS} grants.`)
  }
  return lines.map((line, index) => {
    const [integration = '', account = '', ...rest] = line.split('/')
    const isGrant =
      new RegExp(INTEGRATION_NAME).test(integration) && ACCOUNT.test(account) && rest.length === 0
    if (isGrant) return { integration, account }
    throw new BrokerError(
      'bad_request',
      `Line ${index + 1} is no grant: write the integration, a slash, and the account or *.`,
    )
  })
}
