import { createInterface } from 'node:readline/promises'
import { parseArgs } from 'node:util'
import type { Config } from '../config.ts'
import { adoptDatabase, type Binding, findBinding } from '../db/adopt.ts'
import type { Database } from '../db/database.ts'
import { runCommand } from './command.ts'

const HELP = `npm run adopt [-- --yes] [--force]

Binds the database to this DEPLOYMENT_ID: its brokers refresh from now on, those of the other deployment no longer. For a
database that was moved or restored for good, once the other deployment has ended. Two deployments that refresh the same
accounts, each from its own copy, destroy them.

  --yes     ask nothing
  --force   also when the other deployment looks alive
`

const { values } = parseArgs({
  options: { yes: { type: 'boolean' }, force: { type: 'boolean' }, help: { type: 'boolean' } },
})
if (values.help) console.log(HELP)
else await runCommand(adopt)

async function adopt({ deploymentId }: Config, { db }: Database): Promise<void> {
  const binding = await findBinding(db)
  if (binding === undefined) {
    return console.log('The database belongs to no deployment yet: the first start binds it.')
  }
  if (binding.deploymentId === deploymentId) {
    return console.log(`The database belongs to "${deploymentId}" already.`)
  }
  console.log(
    `The database belongs to "${binding.deploymentId}", DEPLOYMENT_ID is "${deploymentId}".`,
  )
  refuseWhileAlive(binding)
  await confirm(deploymentId)
  if (!(await adoptDatabase(db, binding, deploymentId))) {
    throw new Error('somebody else has adopted the database meanwhile')
  }
  console.log(`The database belongs to "${deploymentId}" now. Its brokers refresh from here on.`)
}

function refuseWhileAlive({ deploymentId, sessions, liveClaims }: Binding): void {
  const signs = []
  if (sessions > 0) signs.push(`${sessions} sessions of its brokers are open`)
  if (liveClaims > 0) signs.push(`${liveClaims} refreshes are under way or were a minute ago`)
  if (signs.length === 0) return
  const text = `"${deploymentId}" looks alive: ${signs.join(', and ')}`
  if (!values.force) throw new Error(`${text}. Stop it first, or add --force`)
  console.log(`${text}. Going on, as --force says.`)
}

async function confirm(deploymentId: string): Promise<void> {
  if (values.yes) return
  if (!process.stdin.isTTY) throw new Error('nobody is here to be asked: add --yes')
  const terminal = createInterface({ input: process.stdin, output: process.stdout })
  const answer = await terminal.question(`Type ${deploymentId} to bind it to this deployment: `)
  terminal.close()
  if (answer.trim() !== deploymentId) throw new Error('not confirmed, nothing was changed')
}
