import { enableCompileCache } from 'node:module'
import { join } from 'node:path'

/**
 * Makes Node store the compiled code of everything that is imported afterwards, so that the next
 * start compiles nothing. The folder is inside the installation, not in the shared temporary
 * directory: whoever may write it could change the code that runs. Has no effect where it is
 * read-only, or where NODE_COMPILE_CACHE names a directory.
 */
export function cacheCompiledCode(): void {
  enableCompileCache(join(import.meta.dirname, '../../node_modules/.cache/amo-broker'))
}
