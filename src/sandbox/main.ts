#!/usr/bin/env node
import { writeFileSync } from 'node:fs'
import closeWithGrace from 'close-with-grace'
import { makeCertificate } from './certificate.ts'
import { HELP, readCommandLine, SandboxUsageError } from './command-line.ts'
import { domainOf } from './directory.ts'
import { buildSandbox } from './sandbox.ts'
import { applyScenario } from './scenarios.ts'

// The process behind `npx amo-sandbox` and `npm run sandbox`.

try {
  await main()
} catch (error) {
  if (!(error instanceof SandboxUsageError)) throw error
  console.error(`amo-sandbox: ${error.message}\nTry: amo-sandbox --help`)
  process.exitCode = 1
}

async function main(): Promise<void> {
  const line = readCommandLine(process.argv.slice(2), process.env)
  if (line.isHelp) {
    console.log(HELP)
    return
  }
  const certificate = line.https ? makeCertificate(Date.now()) : undefined
  const sandbox = await buildSandbox({
    ...line.options,
    ...(certificate === undefined ? {} : { https: certificate }),
  })
  const { directory } = sandbox.world
  for (const name of line.scenarios) {
    applyScenario(sandbox.world, name, [...directory.accounts.values()])
  }
  closeWithGrace({ delay: 5_000 }, async ({ err }) => {
    if (err) console.error(err)
    await sandbox.close()
  })
  const origin = await sandbox.listen({ port: line.port, host: line.host })
  console.log(`sandbox of amoCRM and Kommo on ${origin}, page ${origin}/__sandbox/`)
  for (const { platform, clientId, redirectUri } of directory.integrations.values()) {
    console.log(`  integration ${platform} ${clientId} -> ${redirectUri}`)
  }
  for (const account of directory.accounts.values()) {
    console.log(`  account ${domainOf(account)} (${account.accountId})`)
  }
  if (certificate === undefined) return
  writeFileSync(line.caFile, certificate.ca)
  console.log(
    `  trust this authority: NODE_EXTRA_CA_CERTS=${line.caFile}, curl --cacert ${line.caFile}`,
  )
}
