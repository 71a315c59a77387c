import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { stripVTControlCharacters } from 'node:util'
import { applyEdit, type Edit, type Mutation, type TestFile } from './mutation.ts'
import { copyRepository, readSource, writeSource } from './sources.ts'

/** `broken`: the tests could not run, so nothing is proved. */
export interface MutantResult {
  end: 'caught' | 'alive' | 'stale' | 'broken'
  /** The test that failed, or the error. */
  detail: string
  seconds: number
}

interface RunOptions {
  /** Leaves the source unchanged. */
  isBaseline: boolean
  signal: AbortSignal
}

/** Runs the mutation's tests, through the ordinary runner, on a copy that lacks the guard. */
export async function runMutation(
  { edits, tests }: Mutation,
  { isBaseline, signal }: RunOptions,
): Promise<MutantResult> {
  const startedMs = performance.now()
  const seconds = () => (performance.now() - startedMs) / 1000
  const copy = copyRepository()
  try {
    if (!isBaseline) mutate(copy, edits)
    for (const test of tests) {
      const result = await runTest(copy, test, signal)
      if (result.caughtBy !== undefined) {
        return { end: 'caught', detail: result.caughtBy, seconds: seconds() }
      }
      if (result.passed === 0) return { end: 'broken', detail: result.lastLine, seconds: seconds() }
    }
    const names = tests.map(({ file, only }) => (only ? `${file} ${only}` : file))
    return { end: 'alive', detail: names.join(', '), seconds: seconds() }
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error)
    return { end: 'broken', detail, seconds: seconds() }
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

/** Takes the guard out of a copy of the repository. */
export function mutate(copy: string, edits: Edit[]): void {
  for (const [file, text] of applyEdits(edits)) {
    // Every test would catch a mutant with a syntax error, which proves nothing.
    if (file.endsWith('.ts')) stripTypeScriptTypes(text)
    writeSource(copy, file, text)
  }
}

/** Returns why the mutation no longer fits the source. Undefined: it fits. */
export function whyStale({ edits }: Mutation): string | undefined {
  try {
    applyEdits(edits)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** Returns the edited text of each file. Throws when the text of an edit is not found once. */
function applyEdits(edits: Edit[]): Map<string, string> {
  const sources = new Map<string, string>()
  for (const edit of edits) {
    sources.set(edit.file, applyEdit(sources.get(edit.file) ?? readSource(edit.file), edit))
  }
  return sources
}

interface TestResult {
  /** The title of the first failure. */
  caughtBy: string | undefined
  passed: number
  lastLine: string
}

async function runTest(
  cwd: string,
  { file, only }: TestFile,
  signal: AbortSignal,
): Promise<TestResult> {
  const args = ['test/run.ts', file, ...(only ? [`--grep=${only}`] : [])]
  const child = spawn(process.execPath, args, { cwd, signal, killSignal: 'SIGTERM' })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk
    })
  }
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', () => resolve())
  })
  return readReport(stripVTControlCharacters(output))
}

/** Reads the last lines of `npm test`. */
function readReport(output: string): TestResult {
  const lines = output.trimEnd().split('\n')
  const lastLine = lines.at(-1) ?? ''
  const [, passed, failed] = /^(\d+) passed, (\d+) failed/.exec(lastLine) ?? []
  const heading = lines.lastIndexOf('Failed:')
  // A run that failed without a failed test proves nothing: tap or the services did not start.
  if (heading === -1) {
    return { caughtBy: undefined, passed: Number(failed) > 0 ? 0 : Number(passed ?? 0), lastLine }
  }
  // File and test, without the assertion.
  const title = lines[heading + 1]?.trim().split(' > ').slice(0, 2).join(' > ')
  return { caughtBy: title ?? lastLine, passed: Number(passed ?? 0), lastLine }
}
