import type { Command } from '@commander-js/extra-typings'
import type { Account } from '../accounts/account-view.ts'
import { accountPath, callBroker } from '../common/broker-api.ts'
import { Failure } from '../common/failure.ts'
import { JSON_FLAG } from '../common/options.ts'
import {
  CLIENT_NAME,
  type Client,
  clientPath,
  findClient,
  type Grant,
  grantsFrom,
  grantText,
  showClient,
} from './client-view.ts'

const GRANTS = ['<integration/account...>', 'accounts by id or domain, or * for all'] as const

/** Defines `clients grant`. */
export function defineGrant(command: Command): void {
  command
    .argument(...CLIENT_NAME)
    .argument(...GRANTS)
    .option('--replace', 'withdraw all other grants')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Example:
  $ amo-broker clients grant shop amocrm/demo kommo/acme.kommo.com`,
    )
    .action(async (name, texts, { replace, json }) => {
      const added = grantsFrom(texts)
      const { grants: present } = await findClient(name)
      showClient(await setGrants(name, replace ? added : [...present, ...added]), json)
    })
}

/** Defines `clients withdraw`. */
export function defineWithdraw(command: Command): void {
  command
    .argument(...CLIENT_NAME)
    .argument(...GRANTS)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Withdraws grants as clients show prints them. integration/* withdraws only the
grant on the whole integration.

Example:
  $ amo-broker clients withdraw shop amocrm/demo`,
    )
    .action(async (name, texts, { json }) => {
      const withdrawn = await Promise.all(grantsFrom(texts).map(resolve))
      const { grants } = await findClient(name)
      const present = new Set(grants.map(grantText))
      const unknown = withdrawn.find((grant) => !present.has(grantText(grant)))
      if (unknown !== undefined) {
        throw new Failure(`${name} has no grant on ${grantText(unknown)}`, {
          remedy: `amo-broker clients show ${name} prints its grants.`,
        })
      }
      const gone = new Set(withdrawn.map(grantText))
      const rest = grants.filter((grant) => !gone.has(grantText(grant)))
      showClient(await setGrants(name, rest), json)
    })
}

function setGrants(name: string, grants: Grant[]): Promise<Client> {
  const unique = new Map(grants.map((grant) => [grantText(grant), grant]))
  const body = { grants: [...unique.values()] }
  return callBroker<Client>('PUT', clientPath(name, '/grants'), { body })
}

/** Replaces a domain by the account id, which is what the broker stores. */
async function resolve(grant: Grant): Promise<Grant> {
  const { integration, account } = grant
  if (account === '*' || /^\d+$/.test(account)) return grant
  const query = { integration }
  const found = await callBroker<Account>('GET', accountPath(account), { query })
  return { integration, account: String(found.account_id) }
}
