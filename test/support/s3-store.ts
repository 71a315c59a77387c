import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import type { TeardownScope } from './teardown-scope.ts'

const XML = '<?xml version="1.0" encoding="UTF-8"?>'

/**
 * Starts a store that answers the four S3 calls of the escrow with path-style URLs: put, get, list
 * with a delimiter, and delete of several objects. It checks no signature. Like some stores, it
 * refuses checksums that S3 does not require, and requires Content-MD5 to delete.
 *
 * @returns its origin
 */
export async function startS3Store(t: TeardownScope): Promise<string> {
  const objects = new Map<string, string>()
  const answer = async (request: IncomingMessage): Promise<[number, string]> => {
    const url = new URL(request.url ?? '', 'http://store')
    const key = decodeURIComponent(url.pathname.split('/').slice(2).join('/'))
    const body = await text(request)
    switch (request.method) {
      case 'PUT':
        if ('x-amz-sdk-checksum-algorithm' in request.headers) return [400, 'NotImplemented']
        objects.set(key, body)
        return [200, '']
      case 'POST':
        if (request.headers['content-md5'] === undefined) return [400, 'InvalidRequest']
        for (const [, name = ''] of body.matchAll(/<Key>(.*?)<\/Key>/g)) objects.delete(name)
        return [200, `${XML}<DeleteResult></DeleteResult>`]
      default:
        if (!url.searchParams.has('list-type')) {
          const found = objects.get(key)
          return found === undefined ? [404, ''] : [200, found]
        }
        return [200, list([...objects.keys()], url.searchParams)]
    }
  }
  const server = createServer((request, response) => {
    answer(request).then(([status, body]) => response.writeHead(status).end(body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function list(keys: string[], query: URLSearchParams): string {
  const prefix = query.get('prefix') ?? ''
  const found = keys.filter((key) => key.startsWith(prefix)).sort()
  if (query.get('delimiter') !== '/') {
    const contents = found.map((key) => `<Contents><Key>${key}</Key></Contents>`)
    return `${XML}<ListBucketResult>${contents.join('')}</ListBucketResult>`
  }
  const folders = new Set(found.map((key) => key.slice(0, key.indexOf('/', prefix.length) + 1)))
  const prefixes = [...folders].map(
    (name) => `<CommonPrefixes><Prefix>${name}</Prefix></CommonPrefixes>`,
  )
  return `${XML}<ListBucketResult>${prefixes.join('')}</ListBucketResult>`
}
