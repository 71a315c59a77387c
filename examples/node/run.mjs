/** Repeats a call for AMO_SECONDS and prints how often it went well. */
export async function run(call) {
  const endMs = performance.now() + Number(process.env.AMO_SECONDS ?? 5) * 1000
  let calls = 0
  const failures = []
  while (performance.now() < endMs) {
    calls += 1
    try {
      if (!(await call())) failures.push('unexpected answer')
    } catch (error) {
      failures.push(`${error} ${JSON.stringify(error.data ?? {})}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 1000))
  }
  console.log(JSON.stringify({ calls, failures }))
}
