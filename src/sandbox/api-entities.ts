import { link } from './api-bodies.ts'
import type { Crm, Entity, EntityKind } from './crm.ts'
import type { Account } from './directory.ts'
import type { Answer } from './refusals.ts'
import { json } from './refusals.ts'

const PER_PAGE = 50
const MOST_PER_PAGE = 250
/** The provider's own limit for one request. */
const MOST_WRITTEN = 250

export interface EntityQuery {
  page?: string
  limit?: string
  with?: string
  query?: string
}

/**
 * Returns a page of leads or contacts, without a total. Returns null when the page is empty, which
 * is sent as 204 (docs/provider.md, part 12).
 */
export function listBody(crm: Crm, account: Account, kind: EntityKind, asked: EntityQuery) {
  const page = positive(asked.page, 1)
  const limit = Math.min(positive(asked.limit, PER_PAGE), MOST_PER_PAGE)
  const first = (page - 1) * limit
  const matching = crm
    .list(account, kind)
    .filter(({ name }) => asked.query === undefined || String(name).includes(asked.query))
  const entities = matching.slice(first, first + limit)
  if (entities.length === 0) return null
  const pageLink = (to: number) => link(account, `/${kind}?page=${to}&limit=${limit}`)
  const next = first + limit < matching.length ? { next: pageLink(page + 1) } : {}
  return {
    _page: page,
    _links: { self: pageLink(page), ...next },
    _embedded: { [kind]: entities.map((each) => entityBody(account, kind, each, asked)) },
  }
}

/** Returns one lead or contact. Returns null if there is none, which is sent as 204. */
export function oneBody(
  crm: Crm,
  account: Account,
  kind: EntityKind,
  id: number,
  asked: EntityQuery,
) {
  const entity = crm.find(account, kind, id)
  return entity === undefined ? null : entityBody(account, kind, entity, asked)
}

/** Creates leads or contacts from a list. */
export function createBodies(crm: Crm, account: Account, kind: EntityKind, body: unknown) {
  const list = listOf(body)
  if (list === undefined) return invalid('This value should be of type array.')
  const made = list.map((fields, index) => {
    const { request_id: requestId = String(index), ...rest } = fields
    const { id } = crm.create(account, kind, rest)
    return { id, request_id: requestId, _links: { self: link(account, `/${kind}/${id}`) } }
  })
  return { _links: { self: link(account, `/${kind}`) }, _embedded: { [kind]: made } }
}

/** Changes one lead or contact. */
export function changeBody(
  crm: Crm,
  account: Account,
  kind: EntityKind,
  id: number,
  body: unknown,
) {
  const [fields] = listOf([body]) ?? []
  if (fields === undefined) return invalid('This value should be of type object.')
  const changed = crm.change(account, kind, id, fields)
  if (changed === undefined) return invalid('Element not found')
  const { updated_at: updatedAt } = changed
  return { id, updated_at: updatedAt, _links: { self: link(account, `/${kind}/${id}`) } }
}

/** Changes several leads or contacts, each named by its `id`. */
export function changeBodies(crm: Crm, account: Account, kind: EntityKind, body: unknown) {
  const list = listOf(body)
  if (list === undefined) return invalid('This value should be of type array.')
  const changed = list.map(({ id, ...fields }) =>
    changeBody(crm, account, kind, Number(id), fields),
  )
  const refused = changed.find(isAnswer)
  if (refused !== undefined) return refused
  return { _links: { self: link(account, `/${kind}`) }, _embedded: { [kind]: changed } }
}

function entityBody(account: Account, kind: EntityKind, entity: Entity, asked: EntityQuery) {
  const wanted = asked.with?.split(',') ?? []
  const related = kind === 'leads' ? 'contacts' : 'leads'
  const lossReason = kind === 'leads' && wanted.includes('loss_reason') ? { loss_reason: [] } : {}
  return {
    ...entity,
    _links: { self: link(account, `/${kind}/${entity.id}`) },
    _embedded: {
      tags: [],
      companies: [],
      ...(wanted.includes(related) ? { [related]: [] } : {}),
      ...(wanted.includes('catalog_elements') ? { catalog_elements: [] } : {}),
      ...lossReason,
    },
  }
}

function listOf(body: unknown): Record<string, unknown>[] | undefined {
  if (!Array.isArray(body) || body.length === 0 || body.length > MOST_WRITTEN) return undefined
  return body.every((each) => typeof each === 'object' && each !== null) ? body : undefined
}

function isAnswer(value: object): value is Answer {
  return 'contentType' in value
}

function invalid(detail: string): Answer {
  const errors = [{ code: 'InvalidType', path: '', detail }]
  const body = {
    'validation-errors': [{ request_id: '0', errors }],
    title: 'Bad Request',
    type: 'https://httpstatus.es/400',
    status: 400,
    detail: 'Request validation failed',
  }
  return json(400, body, 'application/problem+json')
}

function positive(value: string | undefined, fallback: number): number {
  const number = Number(value)
  return Number.isInteger(number) && number > 0 ? number : fallback
}
