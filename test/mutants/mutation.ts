export interface Edit {
  file: string
  /** Must be found exactly once: otherwise the guard has moved and the mutation is stale. */
  find: string
  replace: string
}

export interface TestFile {
  file: string
  /** Runs the tests with a title like this alone (tap's --grep). */
  only?: RegExp
}

/** A guard of the refresh taken out on purpose, and the tests that must notice. */
export interface Mutation {
  guard: string
  edits: Edit[]
  tests: TestFile[]
}

/** The source without the guard. Throws a sentence when it is not there, or there more than once. */
export function applyEdit(source: string, { file, find, replace }: Edit): string {
  const parts = source.split(find)
  if (parts.length !== 2) throw new Error(`${file}: found ${parts.length - 1} times: ${find}`)
  return parts.join(replace)
}
