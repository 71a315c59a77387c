import { writeFileSync } from 'node:fs'
import { registerHooks } from 'node:module'

/** Loaded with `node --import`: writes the addresses of all loaded files to MODULES_FILE. */
const loaded: string[] = []
registerHooks({
  load(url, context, next) {
    if (url.startsWith('file:')) loaded.push(url)
    return next(url, context)
  },
})
process.on('exit', () => writeFileSync(process.env.MODULES_FILE ?? '', loaded.join('\n')))
