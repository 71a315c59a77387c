import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '..', '..')
/** `log.warn(`, `this.#log[level](`, `request.log.error(`, and the function of await-schema.ts. */
const CALL = /(?:\blog|#log)(?:\.(trace|debug|info|warn|error|fatal)|\[[^\n]*?\])\(|\breport\(/g

/** A call of the logger in the sources of the broker. */
export interface LogCall {
  file: string
  /** Undefined: decided when it runs. */
  level: string | undefined
  message: string
}

/** Finds the calls of the logger in `src`, without the sandbox and the client library. */
export function findLogCalls(): LogCall[] {
  return globSync('src/**/*.ts', { cwd: ROOT })
    .filter((file) => !/^src\/(sandbox|client|cli)\//.test(file))
    .flatMap((file) => callsIn(file, readFileSync(join(ROOT, file), 'utf8')))
}

/** Finds the calls in one source text. */
export function callsIn(file: string, text: string): LogCall[] {
  return [...text.matchAll(CALL)].flatMap(({ index, 0: start, 1: level }) => {
    const call = argumentsAt(text, index + start.length)
    const message = /(?:^|,)\s*'((?:[^'\\]|\\.)*)',?\s*$/.exec(call)?.[1]
    // A call that passes on the message of its caller.
    return message === undefined ? [] : [{ file, level, message }]
  })
}

/** Returns the text up to the bracket that closes the call. */
function argumentsAt(text: string, start: number): string {
  let depth = 1
  let quote = ''
  for (let at = start; at < text.length; at += 1) {
    const each = text.charAt(at)
    if (quote !== '') {
      if (each === quote && text.charAt(at - 1) !== '\\') quote = ''
    } else if (`'"\``.includes(each)) quote = each
    else if ('([{'.includes(each)) depth += 1
    else if (')]}'.includes(each)) depth -= 1
    if (depth === 0) return text.slice(start, at)
  }
  return text.slice(start)
}
