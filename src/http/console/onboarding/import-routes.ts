import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import multipart from '@fastify/multipart'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Broker } from '../../../broker.ts'
import { IntegrationField } from '../../../contract/fields.ts'
import { Type } from '../../../lib/type.ts'
import type { ImportLine } from '../../../onboarding/import-file.ts'
import { importLines } from '../../../onboarding/import-lines.ts'
import { auditing, beginAct } from '../../plugins/audit.ts'
import { emptyForm, type Form, readForm } from '../form.ts'
import { pageText, sendPage } from '../page.ts'
import { importView, lineRow, REPORT_MARK, reportView, summaryRow } from './import-view.ts'
import { ONBOARDING_PATH } from './overview-view.ts'

const IMPORT_PATH = `${ONBOARDING_PATH}/import`
/** About 500 pairs. A larger file goes through the command line. */
const MAX_BYTES = 2 * 1024 * 1024
const MAX_LINES = 500

const ImportForm = Type.Object({
  integration: Type.Optional(IntegrationField),
  file: Type.Optional(Type.String({ maxLength: MAX_BYTES })),
  pairs: Type.Optional(Type.String({ maxLength: MAX_BYTES })),
  shadow: Type.Optional(Type.Boolean()),
  replace: Type.Optional(Type.Boolean()),
})

/** Imports a file of token pairs, and reports every line as soon as it is done. */
export const importPages: FastifyPluginAsyncTypebox<Broker> = async (app, broker) => {
  const { integrations, importer } = broker
  await app.register(multipart, {
    attachFieldsToBody: 'keyValues',
    limits: { fileSize: MAX_BYTES, files: 1, fields: 10, fieldSize: MAX_BYTES },
    async onFile(part) {
      Object.assign(part, { value: await text(part.file) })
    },
  })
  const sendForm = (request: FastifyRequest, reply: FastifyReply, form: Form) => {
    const status = Object.keys(form.errors).length > 0 ? 422 : 200
    const page = importView(form, integrations.all())
    return sendPage(request, reply, { ...page, section: 'onboarding', status, width: 'reading' })
  }

  app.get(IMPORT_PATH, {
    schema: { hide: true, operationId: 'showImport' },
    handler: (request, reply) => sendForm(request, reply, emptyForm()),
  })

  app.post(IMPORT_PATH, {
    bodyLimit: 2 * MAX_BYTES,
    schema: { hide: true, operationId: 'importAccount' },
    handler: async (request, reply) => {
      const read = readForm(request, ImportForm)
      // Tokens are not written into the page again.
      const form = { ...read.form, values: { ...read.form.values, pairs: '', file: '' } }
      if (!read.isValid) return sendForm(request, reply, form)
      const { file, pairs, integration, shadow = false, replace = false } = read.data
      const lines = await readLines(file ?? pairs)
      if (typeof lines === 'string') {
        return sendForm(request, reply, { ...form, errors: { file: lines } })
      }
      auditing(request, { detail: { lines: lines.length } })
      const view = reportView(lines.length)
      const [head = '', tail = ''] = pageText(request, reply, {
        ...view,
        section: 'onboarding',
        holdsSecret: true,
      }).split(REPORT_MARK)
      const options = { integration, shadow, replace }
      const reports = importLines(importer, lines, options, () => beginAct(request))
      return reply.send(Readable.from(withRows(head, reports, tail)))
    },
  })
}

async function* withRows(
  head: string,
  reports: ReturnType<typeof importLines>,
  tail: string,
): AsyncGenerator<string> {
  yield head
  const counts = new Map<string, number>()
  for await (const report of reports) {
    counts.set(report.result, (counts.get(report.result) ?? 0) + 1)
    yield lineRow(report).toString()
  }
  yield summaryRow(counts).toString()
  yield tail
}

/** @returns the lines, or what is wrong with the file */
async function readLines(text: string | undefined): Promise<ImportLine[] | string> {
  if (text === undefined) return 'Choose a file, or paste its content below.'
  // Loads the CSV parser when the first file arrives.
  const { ImportFileError, parseImportFile } = await import('../../../onboarding/import-file.ts')
  try {
    const lines = parseImportFile(text)
    if (lines.length <= MAX_LINES) return lines
    return `The file has ${lines.length} lines, and this page takes ${MAX_LINES}. Split it, or use amo-broker accounts import.`
  } catch (error) {
    if (!(error instanceof ImportFileError)) throw error
    const { message, remedy = '' } = error
    return `${message.charAt(0).toUpperCase()}${message.slice(1)}. ${remedy}`
  }
}
