import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

const HELP = `npm run fuzz [-- --requests N --seed N]

Sends malformed requests, made from openapi/*.json, to both listeners of a broker, and judges every answer: no 5xx, no
crash, no leak, none let through without a key. PostgreSQL and Redis are found as by npm test.

  --requests N   100000 by default
  --seed N       the same requests again; by default a new one, which is printed
`

const { values } = parseArgs({
  options: { requests: { type: 'string' }, seed: { type: 'string' }, help: { type: 'boolean' } },
})
if (values.help) console.log(HELP)
else {
  const seed = values.seed ?? String(Math.floor(Math.random() * 2 ** 31))
  console.log(`seed ${seed}`)
  const runner = join(import.meta.dirname, '..', 'run.ts')
  const child = spawn(process.execPath, [runner, 'test/fuzz.test.ts', '--timeout=7200'], {
    stdio: 'inherit',
    env: { ...process.env, FUZZ_REQUESTS: values.requests ?? '100000', FUZZ_SEED: seed },
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
  child.on('exit', (code) => {
    process.exitCode = code ?? 1
  })
}
