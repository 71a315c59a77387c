import type { FastifyReply, FastifyRequest } from 'fastify'
import type { AccountKey } from '../../../lib/account-key.ts'
import { html } from '../../../lib/html.ts'
import { sendPage } from '../page.ts'
import { ACCOUNTS_PATH } from './paths.ts'

/** A page of the list has fewer. */
const MAX_SELECTED = 200
const KEY = /^([a-z0-9][a-z0-9-]{0,62})\/([1-9][0-9]{0,14})$/

/** Returns the accounts that are ticked in the list. */
export function selectedKeys({ body }: FastifyRequest): AccountKey[] {
  const values: unknown = fieldOf(body, 'accounts')
  return [values]
    .flat()
    .slice(0, MAX_SELECTED)
    .flatMap((value) => {
      const [, integration, accountId] = KEY.exec(String(value)) ?? []
      return integration === undefined ? [] : [{ integration, accountId: Number(accountId) }]
    })
}

/** Returns the address of the list that the form was sent from. */
export function backOf({ body }: FastifyRequest): string {
  const back = fieldOf(body, 'back')
  const isOurs = typeof back === 'string' && /^\/console\/accounts(?:\?[\x21-\x7e]*)?$/.test(back)
  return isOurs ? back : ACCOUNTS_PATH
}

/** Explains that no account is ticked. */
export function nothingSelected(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  return sendPage(request, reply, {
    title: 'No account is selected',
    section: 'accounts',
    main: html`<p>Tick the accounts first. <a href="${backOf(request)}">Back to the list</a></p>`,
    status: 422,
    width: 'reading',
  })
}

function fieldOf(body: unknown, name: string): unknown {
  return typeof body === 'object' && body !== null && Object.hasOwn(body, name)
    ? Reflect.get(body, name)
    : undefined
}
