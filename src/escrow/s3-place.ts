import { createHash } from 'node:crypto'
import {
  DeleteObjectsCommand,
  GetObjectCommand,
  PutObjectCommand,
  paginateListObjectsV2,
  S3Client,
} from '@aws-sdk/client-s3'
import type { EscrowPlace } from './place.ts'

const DEFAULT_REGION = 'us-east-1'
/** Objects per DeleteObjects. */
const DELETE_BATCH = 1_000

/**
 * Opens an escrow in an S3-compatible store: `s3://bucket/prefix?endpoint=https://…&region=…`. The
 * credentials come from the environment or the platform, as the AWS SDK finds them. An append is an
 * object, because objects cannot grow.
 */
export async function openS3(text: string): Promise<EscrowPlace> {
  const url = new URL(text)
  const endpoint = url.searchParams.get('endpoint')
  const client = new S3Client({
    region: url.searchParams.get('region') ?? DEFAULT_REGION,
    // Stores other than AWS have no host name for each bucket.
    ...(endpoint === null ? {} : { endpoint, forcePathStyle: true }),
    maxAttempts: 2,
    // Some stores refuse checksums that are not required. Each line is sealed, so they add nothing.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  })
  addContentMd5(client)
  const Bucket = url.hostname
  const prefix = url.pathname.replace(/^\/+|\/+$/g, '')
  const root = prefix === '' ? '' : `${prefix}/`
  const folderOf = (segment: number) => `${root}segment-${String(segment).padStart(12, '0')}/`

  async function* keysOf(Prefix: string): AsyncGenerator<string> {
    for await (const page of paginateListObjectsV2({ client }, { Bucket, Prefix })) {
      for (const { Key } of page.Contents ?? []) if (Key !== undefined) yield Key
    }
  }

  return {
    title: `s3://${Bucket}/${prefix}`,
    async segments() {
      const numbers = new Set<number>()
      const pages = paginateListObjectsV2(
        { client },
        { Bucket, Prefix: `${root}segment-`, Delimiter: '/' },
      )
      for await (const { CommonPrefixes = [] } of pages) {
        for (const { Prefix = '' } of CommonPrefixes) {
          numbers.add(Number(/segment-(\d{12})\/$/.exec(Prefix)?.[1] ?? 0))
        }
      }
      numbers.delete(0)
      return [...numbers].sort((left, right) => left - right)
    },
    async append(segment, firstLine, lines) {
      const Key = `${folderOf(segment)}${String(firstLine).padStart(12, '0')}.jsonl`
      await client.send(new PutObjectCommand({ Bucket, Key, Body: `${lines.join('\n')}\n` }))
    },
    async *read(segment) {
      for await (const Key of keysOf(folderOf(segment))) {
        const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }))
        const content = (await Body?.transformToString()) ?? ''
        yield* content.split('\n').filter((line) => line !== '')
      }
    },
    async remove(segment) {
      const keys = await Array.fromAsync(keysOf(folderOf(segment)))
      for (let start = 0; start < keys.length; start += DELETE_BATCH) {
        const Objects = keys.slice(start, start + DELETE_BATCH).map((Key) => ({ Key }))
        await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects, Quiet: true } }))
      }
    },
    async close() {
      client.destroy()
    },
  }
}

/**
 * Adds Content-MD5 to DeleteObjects. OpenStack Swift and other stores require it there, and this
 * version of the SDK sends only newer checksums.
 */
function addContentMd5(client: S3Client): void {
  client.middlewareStack.add(
    (next, { commandName }) =>
      (args) => {
        const request = args.request as { headers: Record<string, string>; body?: string }
        if (commandName === 'DeleteObjectsCommand') {
          const digest = createHash('md5').update(request.body ?? '')
          request.headers['content-md5'] = digest.digest('base64')
        }
        return next(args)
      },
    { step: 'build', name: 'contentMd5' },
  )
}
